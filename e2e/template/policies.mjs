// The policies of Killswitch as they are deployed, and what an independent evaluator of IAM policies says of them.
import { runSimulation } from '@cloud-copilot/iam-simulate'

// The accounts and parameters of the end-to-end tests; what may be left out is given.
export const hub = '123456789012', member = '222222222222', management = '999999999999', region = 'eu-west-1', organization = 'o-abcdefghij', stack = 'killswitch'
const key = `arn:aws:kms:${region}:${hub}:key/0f0e0d0c-0000-4000-8000-000000000000`
export const person = account => `arn:aws:iam::${account}:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_IR_0123456789abcdef`
const given = {
  'AWS::URLSuffix': 'amazonaws.com', 'AWS::Partition': 'aws', 'AWS::AccountId': hub, 'AWS::Region': region, 'AWS::StackName': stack,
  CliPrincipals: [hub, '666666666666'].map(account => person(account).replace('eu-west-1/', '*').replace(/[0-9a-f]{16}$/, '*')), IdentityAccounts: ['666666666666'],
  NoticeTopicArn: `arn:aws:sns:${region}:${hub}:security-alerts`, PagerTopicArn: `arn:aws:sns:${region}:${hub}:pager`, KmsKeyArn: key, AuditBucketName: 'killswitch-audit-heads',
  OrganizationId: organization, HubAccountId: hub, HubRegion: region, ManagementAccountId: management, PolicyAccountId: management, StandbyRoleName: `${stack}-standby`, ExternalId: '4b3c2a1f', TrustedPrincipal: '', RootId: 'r-root',
}

const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }
// A role's trust, or a key's policy, that leaves it to the policies of whoever asks.
const leavesIt = principal => ({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${principal.split(':')[4]}:root` }, Action: '*', Resource: '*' }] })
// AWS's own AWSDenyAll.
const denyAll = { Version: '2012-10-17', Statement: [{ Sid: 'DenyAll', Effect: 'Deny', Action: '*', Resource: '*' }] }

// Policies has the documents of templates, which it resolves; left are conditions of the templates that don't hold.
export class Policies {
  constructor({ template, members, organization, 'hub-role': hubRole }, left = []) {
    this.templates = [template, members, hubRole, organization]
    this.parameters = Object.assign({}, ...this.templates.map(t => t.Parameters))
    this.resources = template.Resources
    this.left = left
    this.roles = {}
    for (const [where, resources, account] of [['hub', template.Resources, hub], ['hub', hubRole.Resources, hub], ['member', members.Resources, member]])
      for (const [id, r] of Object.entries(resources))
        if (r.Type === 'AWS::IAM::Role') this.roles[{ HubRole: 'Serve' }[id] ?? id.replace(/Role$/, '')] = this.role(id, r, resources, account)
    this.tamper = this.resolve(organization.Resources.TamperProtection.Properties.Content)
    this.quarantines = ['Quarantine', 'QuarantineIAM'].map(id => members.Resources[id].Properties)
    this.cli = this.resolve(template.Resources.KillswitchCLI.Properties.PolicyDocument)
    const bus = `arn:aws:events:${region}:${hub}:event-bus/default`
    this.otherBus = this.resolve(hubRole.Resources.ForwardedEvents.Properties.Statement)
    this.documents = {} // those of queues and of the event bus, by what they are on
    for (const r of Object.values(template.Resources)) {
      if (r.Type === 'AWS::SQS::QueuePolicy') for (const queue of this.resolve(r.Properties.Queues)) this.documents[queue] = this.resolve(r.Properties.PolicyDocument)
      if (r.Type === 'AWS::Events::EventBusPolicy') this.documents[bus] = { Version: '2012-10-17', Statement: [this.resolve(r.Properties.Statement)] }
    }
    // It leaves everything to IAM in its account.
    this.documents[key] = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${hub}:root` }, Action: 'kms:*', Resource: '*' }] }
  }

  role(id, { Properties: p }, resources, account) {
    const beneath = Object.values(resources).filter(r => r.Type === 'AWS::IAM::Policy' && r.Properties.Roles.some(role => role.Ref === id)).map(r => r.Properties)
    const policies = Object.fromEntries([...p.Policies ?? [], ...beneath].map(x => [x.PolicyName, this.resolve(x.PolicyDocument)]))
    for (const arn of p.ManagedPolicyArns ?? []) {
      if (arn !== 'arn:aws:iam::aws:policy/AWSDenyAll') throw new Error(`${id} has ${arn}, whose content is not known here`)
      policies[arn] = denyAll
    }
    if (p.PermissionsBoundary && p.PermissionsBoundary !== 'arn:aws:iam::aws:policy/AWSDenyAll') throw new Error(`${id} has the boundary ${p.PermissionsBoundary}, whose content is not known here`)
    return { arn: `arn:aws:iam::${account}:role/${p.RoleName ? this.resolve(p.RoleName) : `${stack}-${id}`}`, policies, boundary: p.PermissionsBoundary && denyAll, trust: this.resolve(p.AssumeRolePolicyDocument) }
  }

  // What a reference stands for, with names that AWS could have given.
  arn(id) {
    const r = this.resources[id]
    return r && {
      'AWS::IAM::Role': () => this.roles[id.replace(/Role$/, '')]?.arn ?? `arn:aws:iam::${hub}:role/${r.Properties.RoleName ? this.resolve(r.Properties.RoleName) : `${stack}-${id}`}`,
      'AWS::SQS::Queue': () => `arn:aws:sqs:${region}:${hub}:${stack}-${id}`,
      'AWS::DynamoDB::Table': () => `arn:aws:dynamodb:${region}:${hub}:table/${stack}-${id}`,
      'AWS::SecretsManager::Secret': () => `arn:aws:secretsmanager:${region}:${hub}:secret:${stack}-${id}-a1b2c3`,
      'AWS::Events::Rule': () => `arn:aws:events:${region}:${hub}:rule/${stack}-${id}-1A2B3C4D5E6F7`,
      'AWS::Logs::LogGroup': () => `arn:aws:logs:${region}:${hub}:log-group:${stack}-${id}:*`,
    }[r.Type]?.()
  }

  named(name) {
    return given[name] ?? this.parameters[name]?.Default ?? this.arn(name.replace(/\.Arn$/, '')) ?? `${stack}-${name}`
  }

  resolve(v) {
    if (Array.isArray(v)) return v.map(x => this.resolve(x)).filter(x => x !== undefined)
    if (typeof v === 'boolean') return String(v)
    if (v === null || typeof v !== 'object') return v
    if ('Ref' in v) return v.Ref === 'AWS::NoValue' ? undefined : this.named(v.Ref)
    if ('Fn::GetAtt' in v) return this.named(v['Fn::GetAtt'].join('.'))
    if ('Fn::If' in v) return this.resolve(v['Fn::If'][this.left.includes(v['Fn::If'][0]) ? 2 : 1])
    if ('Fn::Sub' in v) return v['Fn::Sub'].replace(/\$\{([^}]+)\}/g, (_, name) => this.named(name))
    return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, this.resolve(x)]).filter(([, x]) => x !== undefined))
  }

  // The policy of what a call is about: a role's trust, or the document of a queue, a key or the bus.
  resourcePolicy(on) {
    const role = on.includes(':role/') && Object.values(this.roles).find(r => r.arn.split(':role/')[1] === on.split(':role/')[1])
    return role ? role.trust : this.documents[on]
  }
}

// The layers that decide together on a call. What a question leaves out is open.
export const layers = ['identity', 'boundary', 'session', 'resource', 'tamper', 'freeze']

const answers = new Map(), contents = new Map(), ids = new WeakMap() // a policy that a mutation left alone has answered before
function idOf(policy) {
  if (!policy) return ''
  if (!ids.has(policy)) {
    const content = JSON.stringify(policy)
    if (!contents.has(content)) contents.set(content, contents.size)
    ids.set(policy, contents.get(content))
  }
  return ids.get(policy)
}

// ask is what the evaluator answers: Allowed, ImplicitlyDenied or ExplicitlyDenied; undefined where an action is not on
// things of that kind.
export async function ask({ principal, service, action, on, context = {}, identity, boundary, session, resource, tamper, freeze }) {
  const id = [principal, service, action, on, JSON.stringify(context), identity?.map(idOf).join(), ...[boundary, session, resource, tamper, freeze].map(idOf)].join('|')
  if (answers.has(id)) return answers.get(id)
  const asksBoth = on.includes(':role/') && action.startsWith('sts:') || action.startsWith('kms:')
  const result = await runSimulation({
    request: {
      principal: service ?? principal, action, resource: { resource: on, accountId: /:(\d{12}):/.exec(on)?.[1] ?? principal?.split(':')[4] ?? hub },
      contextVariables: Object.fromEntries(Object.entries({
        'aws:SecureTransport': 'true', 'aws:PrincipalIsAWSService': String(Boolean(service)), ...(service ? {} : { 'aws:PrincipalArn': principal, 'aws:PrincipalOrgID': organization }), 'aws:ResourceOrgID': organization, ...context,
      }).filter(([, v]) => v !== null)),
    },
    identityPolicies: service ? [] : (identity ?? [everything]).map((policy, i) => ({ name: `policy${i}`, policy })),
    permissionBoundaryPolicies: boundary && [{ name: 'boundary', policy: boundary }],
    sessionPolicy: session,
    resourcePolicy: resource ?? (asksBoth && principal ? leavesIt(principal) : undefined),
    serviceControlPolicies: [{ orgIdentifier: 'r-root', policies: [{ name: 'FullAWSAccess', policy: everything }, ...[tamper, freeze].filter(Boolean).map((policy, i) => ({ name: `scp${i}`, policy }))] }],
    resourceControlPolicies: [],
  }, {})
  const error = result.resultType === 'error' && JSON.stringify(result.errors)
  if (error && !/no.resource.types|must.use.wildcard/.test(error)) throw new Error(`${principal} ${action} ${on}: ${error}`)
  const is = error ? undefined : result.overallResult
  answers.set(id, is)
  return is
}
