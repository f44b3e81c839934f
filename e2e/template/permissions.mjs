// Checks what each role may do, and people with the policy KillswitchCLI, with an independent evaluator of IAM policies: permissions.mjs TEMPLATE MEMBERS.
// The templates are the translated ones. Policies of queues and of the event bus count too, and the trust of the member roles.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const [{ Resources: resources, Parameters: parameters }, { Resources: members, Parameters: memberParameters }] = process.argv.slice(2).map(file => JSON.parse(readFileSync(file)))
const hub = '111111111111', region = 'eu-west-1', stack = 'killswitch'

// What the references in the template stand for, with names that AWS could have given.
const arns = {
  'AWS::IAM::Role': id => `arn:aws:iam::${hub}:role/${resources[id].Properties.RoleName ? resolve(resources[id].Properties.RoleName) : `${stack}-${id}`}`,
  'AWS::SQS::Queue': id => `arn:aws:sqs:${region}:${hub}:${stack}-${id}`,
  'AWS::DynamoDB::Table': id => `arn:aws:dynamodb:${region}:${hub}:table/${stack}-${id}`,
  'AWS::SecretsManager::Secret': id => `arn:aws:secretsmanager:${region}:${hub}:secret:${id}-a1b2c3`,
  'AWS::Events::Rule': id => `arn:aws:events:${region}:${hub}:rule/${stack}-${id}-1A2B3C4D5E6F7`,
  'AWS::Logs::LogGroup': id => `arn:aws:logs:${region}:${hub}:log-group:${stack}-${id}:*`,
}
const topic = `arn:aws:sns:${region}:${hub}:security-alerts`, pager = `arn:aws:sns:${region}:${hub}:pager` // what may be left out is given
const head = `arn:aws:s3:::killswitch-audit-heads/heads/KS-4G7QX2M9ZT0B/000004-${'0'.repeat(64)}-20280104`
const locked = { 's3:object-lock-mode': 'COMPLIANCE', 's3:if-none-match': '*' }
const bus = `arn:aws:events:${region}:${hub}:event-bus/default`, organization = 'o-abcdefghij'
const person = account => `arn:aws:iam::${account}:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_IR_0123456789abcdef`
const people = [hub, '666666666666'].map(account => person(account).replace('eu-west-1/', '*').replace(/[0-9a-f]{16}$/, '*'))
const key = `arn:aws:kms:${region}:${hub}:key/0f0e0d0c-0000-4000-8000-000000000000`
const given = { CliPrincipals: people, IdentityAccounts: ['666666666666'], NoticeTopicArn: topic, PagerTopicArn: pager, KmsKeyArn: key, AuditBucketName: 'killswitch-audit-heads', OrganizationId: organization, HubAccountId: hub, HubRegion: region, StandbyRoleName: `${stack}-StandbyRole`, ExternalId: '4b3c2a1f' }
const pseudo = { 'AWS::URLSuffix': 'amazonaws.com',  'AWS::Partition': 'aws', 'AWS::AccountId': hub, 'AWS::Region': region, 'AWS::StackName': stack }
const arn = id => arns[resources[id].Type](id)
const named = name => pseudo[name] ?? given[name] ?? (parameters[name] ?? memberParameters[name])?.Default ?? (name.endsWith('.Arn') ? arn(name.slice(0, -4)) : arn(name))
let left = [] // conditions of the template that don't hold: all others do
function resolve(v) {
  if (Array.isArray(v)) return v.map(resolve).filter(x => x !== undefined)
  if (typeof v === 'boolean') return String(v)
  if (v === null || typeof v !== 'object') return v
  if ('Ref' in v) return v.Ref === 'AWS::NoValue' ? undefined : named(v.Ref)
  if ('Fn::GetAtt' in v) return named(v['Fn::GetAtt'].join('.'))
  if ('Fn::If' in v) return resolve(v['Fn::If'][left.includes(v['Fn::If'][0]) ? 2 : 1])
  if ('Fn::Sub' in v) return v['Fn::Sub'].replace(/\$\{([^}]+)\}/g, (_, name) => named(name))
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, resolve(x)]).filter(([, x]) => x !== undefined))
}

const everything = [{ name: 'everything', policy: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] } }]
const cliPolicy = () => [{ name: 'KillswitchCLI', policy: resolve(resources.KillswitchCLI.Properties.PolicyDocument) }]
function identity(who) {
  if (who in cli) return cliPolicy()
  const role = resources[`${who}Role`] ?? members[`${who}Role`]
  if (!role) return everything // an administrator
  if (role.Properties.ManagedPolicyArns) throw new Error(`${who}Role has managed policies, which are not looked at here`)
  return role.Properties.Policies.map(p => ({ name: p.PolicyName, policy: resolve(p.PolicyDocument) }))
}
function queuePolicy(to) {
  const [p] = Object.values(resources).filter(r => r.Type === 'AWS::SQS::QueuePolicy' && resolve(r.Properties.Queues).includes(to))
  return p && resolve(p.Properties.PolicyDocument)
}
// It leaves everything to IAM in its account.
const keyPolicy = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${hub}:root` }, Action: 'kms:*', Resource: '*' }] }
const busPolicy = { Version: '2012-10-17', Statement: [resolve(resources.ForwardedEvents.Properties.Statement)] }

const service = { events: 'events.amazonaws.com' }
const elsewhere = { Forwarder: '222222222222', Stranger: '444444444444' } // their accounts
// Who has KillswitchCLI: somebody of CliPrincipals, here and in another account, and somebody who is not among them.
const cli = { Person: person(hub), PersonElsewhere: person('666666666666'), Unnamed: person(hub).replace('_IR_', '_Ops_'), StrangePerson: person('444444444444') }
const impostor = 'arn:aws:iam::444444444444:role/killswitch-executor' // the executor's name, in a stranger's account
// The member roles' trust, as it is deployed; of any other role of another account what it says is not ours: it says yes.
const memberTrust = Object.fromEntries(['ResponderRole', 'RestorerRole'].map(id => [members[id].Properties.RoleName, resolve(members[id].Properties.AssumeRolePolicyDocument)]))
const trust = (to, principal) => memberTrust[to.split(':role/')[1]] ?? { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: principal }, Action: 'sts:*', Resource: '*' }] }
async function evaluate(who, action, to, context = {}) {
  const principal = who === 'Impostor' ? impostor : cli[who] ?? service[who] ?? (resources[`${who}Role`] ? arn(`${who}Role`) : `arn:aws:iam::${elsewhere[who] ?? hub}:role/${stack}-${who}Role`)
  const request = {
    principal, action,
    resource: { resource: to, accountId: /:(\d{12}):/.exec(to)?.[1] ?? hub },
    contextVariables: { 'aws:SecureTransport': 'true', 'aws:PrincipalIsAWSService': String(who in service), ...(who in service ? {} : { 'aws:PrincipalArn': principal }), ...context },
  }
  const result = await runSimulation({
    request, identityPolicies: who in service ? [] : identity(who), serviceControlPolicies: [], resourceControlPolicies: [],
    resourcePolicy: action.startsWith('kms:') ? keyPolicy : action.startsWith('sqs:') ? queuePolicy(to) : to === bus ? busPolicy : to.includes(':role/') ? trust(to, principal) : undefined,
  }, {})
  if (result.resultType === 'error') throw new Error(`${who} ${action} ${to}: ${JSON.stringify(result.errors)}`)
  return result.overallResult
}

const yes = 'Allowed', no = 'ImplicitlyDenied', never = 'ExplicitlyDenied'
const index = (table, name) => `${arn(table)}/index/${name}`
const role = (account, name) => `arn:aws:iam::${account}:role/${name}`
const secret = 'secretsmanager:GetSecretValue', send = 'sqs:SendMessage', enter = 'sts:AssumeRole'
const from = { 'aws:PrincipalOrgID': organization, 'sts:ExternalId': '4b3c2a1f' }
const ours = { 'aws:ResourceOrgID': organization, ...from } // the account of the role is a member
const memberRoles = [role('222222222222', 'killswitch-responder'), role('222222222222', 'killswitch-restorer')]
const entering = [enter, 'sts:SetSourceIdentity', 'sts:TagSession']
const receiving = ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes']
const logging = ['logs:CreateLogStream', 'logs:PutLogEvents']
const reading = ['dynamodb:GetItem', 'dynamodb:Query'], putting = ['dynamodb:PutItem']
const writing = ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem', 'dynamodb:ConditionCheckItem', 'dynamodb:BatchWriteItem']
const managing = ['dynamodb:Scan', 'dynamodb:DeleteTable', 'dynamodb:UpdateTable', 'dynamodb:UpdateContinuousBackups', 'dynamodb:UpdateTimeToLive', 'dynamodb:BatchGetItem']
const tables = ['RequestsTable', 'RunsTable'].map(arn)
const stream = zone => arn(`${zone}Log`).replace(/\*$/, 'log-stream:2026/01/01/[$LATEST]0')
const rule = name => ({ 'aws:SourceArn': arn(name) })
const strange = (region, account, name) => ({ 'aws:SourceArn': `arn:aws:events:${region}:${account}:rule/${name}` })
const rows = (...keys) => ({ 'dynamodb:LeadingKeys': keys })
const via = service => ({ 'kms:ViaService': `${service}.${region}.amazonaws.com` }), services = ['dynamodb', 'secretsmanager', 'sqs']
const keyUse = ['kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey', 'kms:ReEncryptFrom', 'kms:ReEncryptTo']
const keyRule = ['kms:CreateGrant', 'kms:DisableKey', 'kms:PutKeyPolicy', 'kms:RetireGrant', 'kms:ScheduleKeyDeletion', 'kms:Sign']
const put = 'events:PutEvents', byRule = { 'aws:PrincipalOrgID': organization, 'events:eventBusInvocation': 'true' }

// Who, which actions, on what, the answer, and the context if it matters. `no` is for want of a grant, `never` is a Deny.
const cases = [
  ['Ingress', secret, ['SigningSecret', 'WebhookKeys'].map(arn), yes],
  ['Ingress', secret, arn('BotToken'), no],
  ['Ingress', send, ['SlackQueue', 'WebhooksQueue'].map(arn), yes],
  ['Ingress', send, ['JobsQueue', 'ChecksQueue', 'ChangesQueue', 'AlertsQueue', 'ImportedQueue', 'TrailQueue', 'CliQueue'].map(arn), never],
  ['Ingress', send, ['SlackDeadQueue', 'WebhooksDeadQueue'].map(arn), no],
  ['Ingress', receiving, ['SlackQueue', 'WebhooksQueue'].map(arn), no],
  ['Ingress', put, bus, no],
  ['Ingress', [...reading, ...writing, ...managing], tables, no],
  ['Ingress', enter, [role('222222222222', 'killswitch-responder'), role(hub, 'any')], never],
  ['Ingress', logging, stream('Ingress'), yes],
  ['Ingress', logging, stream('Executor'), no],

  ['Bot', secret, arn('BotToken'), yes],
  ['Bot', secret, ['SigningSecret', 'WebhookKeys'].map(arn), no],
  ['Bot', [...reading, ...putting], arn('RequestsTable'), yes],
  ['Bot', 'dynamodb:Query', ['open', 'in_force', 'stale', 'alert'].map(m => index('RequestsTable', m)), yes],
  ['Bot', 'dynamodb:Scan', ['open', 'in_force', 'stale', 'alert'].map(m => index('RequestsTable', m)), no],
  ['Bot', [...writing.slice(1), ...managing], arn('RequestsTable'), no],
  ['Bot', reading, arn('RunsTable'), yes],
  ['Bot', [...writing, ...managing], arn('RunsTable'), no],
  ['Bot', send, ['JobsQueue', 'ChecksQueue'].map(arn), yes],
  ['Bot', send, ['SlackQueue', 'ChangesQueue', 'AlertsQueue', 'ImportedQueue', 'WebhooksQueue', 'TrailQueue', 'CliQueue'].map(arn), never],
  ['Bot', send, ['AlertsDeadQueue', 'ImportedDeadQueue', 'TrailDeadQueue'].map(arn), no],
  ['Bot', receiving, ['SlackQueue', 'ChangesQueue', 'AlertsQueue', 'ImportedQueue', 'WebhooksQueue', 'TrailQueue', 'CliQueue'].map(arn), yes],
  ['Bot', receiving, ['JobsQueue', 'ChecksQueue', 'AlertsDeadQueue', 'CliDeadQueue', 'WebhooksDeadQueue'].map(arn), no],
  ['Bot', enter, [role('222222222222', 'killswitch-responder'), role('222222222222', 'killswitch-restorer'), role(hub, 'any')], never],
  ['Bot', ['sns:GetTopicAttributes', 'sns:Publish'], [topic, pager], no],
  ['Bot', 'sts:GetAccessKeyInfo', '*', no],
  ['Bot', logging, stream('Bot'), yes],
  ['Bot', 'secretsmanager:PutSecretValue', arn('BotToken'), no],

  ['Executor', entering, [role('222222222222', 'killswitch-responder'), role('333333333333', 'killswitch-restorer')], yes, ours],
  ['Executor', entering, [role('555555555555', 'killswitch-responder'), role('555555555555', 'killswitch-restorer')], no, { ...from, 'aws:ResourceOrgID': 'o-zzzzzzzzzz' }],
  ['Executor', entering, role('555555555555', 'killswitch-responder'), no, from], // an account of no organization
  // What the member roles' trust refuses.
  ['Executor', enter, memberRoles, no, { ...ours, 'sts:ExternalId': 'x' }],
  ['Executor', enter, memberRoles, no, { 'aws:ResourceOrgID': organization, 'aws:PrincipalOrgID': organization }], // no external ID
  ['Executor', ['sts:SetSourceIdentity', 'sts:TagSession'], memberRoles, yes, { 'aws:ResourceOrgID': organization, 'aws:PrincipalOrgID': organization }], // of which it is no key
  ['Executor', entering, memberRoles, no, { ...ours, 'aws:PrincipalOrgID': 'o-zzzzzzzzzz' }],
  ['Administrator', entering, memberRoles, no, ours],
  ['Impostor', entering, memberRoles, no, ours],
  ['Standby', entering, memberRoles, yes, ours],
  ['Stranger', entering, memberRoles, no, ours],
  ['Executor', enter, [role('222222222222', 'Administrator'), role('222222222222', 'killswitch-responder2'), role('222222222222', 'path/killswitch-responder'), role(hub, 'any')], never],
  ['Executor', ['sts:SetSourceIdentity', 'sts:TagSession'], role('222222222222', 'Administrator'), no, ours],
  ['Executor', 'sts:GetAccessKeyInfo', '*', yes],
  ['Executor', ['sns:GetTopicAttributes', 'sns:Publish'], [topic, pager], yes],
  ['Executor', ['sns:GetTopicAttributes', 'sns:Publish'], [topic + '2', pager + '2'], no],
  ['Executor', 'sns:Subscribe', [topic, pager], no],
  ['Executor', ['s3:PutObject', 's3:PutObjectRetention'], head, yes, locked],
  ['Executor', ['s3:PutObject', 's3:PutObjectRetention'], [head.replace('/heads/', '/'), head.replace('-heads/', '-others/')], no, locked],
  ['Executor', 's3:PutObject', head, no, { ...locked, 's3:object-lock-mode': 'GOVERNANCE' }],
  ['Executor', 's3:PutObject', head, no, { 's3:if-none-match': '*' }], // not locked
  ['Executor', 's3:PutObject', head, no, { 's3:object-lock-mode': 'COMPLIANCE' }], // over another
  ['Executor', ['s3:GetObject', 's3:DeleteObject', 's3:DeleteObjectVersion', 's3:BypassGovernanceRetention', 's3:PutObjectLegalHold', 's3:PutObjectAcl'], head, no],
  [['Ingress', 'Bot'], ['s3:PutObject', 's3:PutObjectRetention'], head, no, locked],
  ['Executor', secret, arn('SigningSecret'), yes],
  ['Executor', secret, ['BotToken', 'WebhookKeys'].map(arn), no],
  ['Executor', [...reading, ...putting], tables, yes],
  ['Executor', 'dynamodb:DeleteItem', arn('RunsTable'), yes],
  ['Executor', 'dynamodb:DeleteItem', arn('RequestsTable'), no],
  ['Executor', 'dynamodb:Query', index('RequestsTable', 'open'), no],
  ['Executor', managing, tables, no],
  ['Executor', send, ['JobsQueue', 'ChecksQueue', 'ChangesQueue'].map(arn), yes],
  ['Executor', send, ['SlackQueue', 'AlertsQueue', 'ImportedQueue', 'WebhooksQueue', 'TrailQueue', 'CliQueue'].map(arn), never],
  ['Executor', receiving, ['JobsQueue', 'ChecksQueue'].map(arn), yes],
  ['Executor', receiving, ['SlackQueue', 'ChangesQueue', 'AlertsQueue', 'ImportedQueue', 'WebhooksQueue', 'TrailQueue', 'CliQueue'].map(arn), no],
  ['Executor', ['iam:PutRolePolicy', 'iam:PassRole'], role(hub, 'killswitch-BotRole'), no],
  ['Executor', logging, stream('Executor'), yes],

  ['Administrator', send, ['SlackQueue', 'ChangesQueue', 'JobsQueue', 'ChecksQueue', 'AlertsQueue', 'ImportedQueue', 'WebhooksQueue', 'TrailQueue', 'CliQueue'].map(arn), never],
  ['Administrator', [send, 'sqs:ReceiveMessage'], Object.keys(resources).filter(r => resources[r].Type === 'AWS::SQS::Queue').map(arn), never, { 'aws:SecureTransport': 'false' }],
  ...['GuardDuty', 'TrustedAdvisor', 'Health', 'CloudTrail', 'RoleChanges', 'Defences', 'Access', 'Sharing', 'ListedRoleChanges', 'SignIn', 'OwnRoles'].map(name => ['events', send, ['AlertsQueue', 'AlertsDeadQueue'].map(arn), yes, rule(`${name}Rule`)]),
  ['events', send, ['ImportedQueue', 'ImportedDeadQueue'].map(arn), yes, rule('SecurityHubRule')],
  ['events', send, ['AlertsQueue', 'AlertsDeadQueue', 'TrailQueue', 'TrailDeadQueue'].map(arn), no, rule('SecurityHubRule')],
  ['events', send, ['TrailQueue', 'TrailDeadQueue'].map(arn), yes, rule('ContainmentChangesRule')],
  ['events', send, ['AlertsQueue', 'AlertsDeadQueue'].map(arn), no, rule('ContainmentChangesRule')],
  ['events', send, ['TrailQueue', 'TrailDeadQueue'].map(arn), no, rule('CloudTrailRule')],
  ['events', send, ['AlertsQueue', 'AlertsDeadQueue', 'ImportedQueue', 'ImportedDeadQueue', 'TrailQueue', 'TrailDeadQueue'].map(arn), no, strange(region, hub, 'killswitch-another-rule')],
  ['events', send, ['AlertsQueue', 'AlertsDeadQueue', 'ImportedQueue', 'ImportedDeadQueue', 'TrailQueue', 'TrailDeadQueue'].map(arn), no, strange(region, '999999999999', 'killswitch-GuardDutyRule-1A2B3C4D5E6F7')],
  ['events', send, ['SlackQueue', 'ChangesQueue', 'JobsQueue', 'ChecksQueue', 'WebhooksQueue'].map(arn), never, rule('GuardDutyRule')],
  ['events', receiving, ['AlertsQueue', 'AlertsDeadQueue'].map(arn), no, rule('GuardDutyRule')],

  ['Forwarder', put, bus, yes, byRule],
  ['Forwarder', put, bus, no, { ...byRule, 'events:eventBusInvocation': 'false' }],
  ['Forwarder', put, bus, no, { ...byRule, 'aws:PrincipalOrgID': 'o-zzzzzzzzzz' }],
  ['Forwarder', put, bus.replace('default', 'other'), no, byRule],
  ['Forwarder', enter, [role('333333333333', 'killswitch-responder'), role(hub, 'killswitch-responder')], no],
  ['Stranger', put, bus, no, { 'events:eventBusInvocation': 'true' }],

  // The key is used by the services that hold what each role reads and sends, and by nobody directly.
  ...services.map(s => [['Bot', 'Executor'], keyUse, key, yes, via(s)]),
  ...['secretsmanager', 'sqs'].map(s => ['Ingress', ['kms:Decrypt', 'kms:GenerateDataKey'], key, yes, via(s)]),
  ...['dynamodb', 'sqs'].map(s => ['Person', ['kms:Decrypt', 'kms:GenerateDataKey'], key, yes, via(s)]),
  ['Ingress', keyUse, key, no, via('dynamodb')],
  ['Person', keyUse, key, no, via('secretsmanager')],
  [['Ingress', 'Bot', 'Executor', 'Person'], keyUse, key, no],
  [['Ingress', 'Bot', 'Executor', 'Person'], keyUse, key, no, via('s3')],
  [['Ingress', 'Bot', 'Executor', 'Person'], keyUse, key.replace(/0$/, '1'), no, via('sqs')],
  ...services.map(s => [['Ingress', 'Bot', 'Executor', 'Person'], keyRule, key, no, via(s)]),

  // People at the command line.
  [['Person', 'PersonElsewhere'], send, arn('CliQueue'), yes],
  [['Unnamed', 'StrangePerson'], send, arn('CliQueue'), never],
  ['Person', [...receiving, 'sqs:PurgeQueue'], arn('CliQueue'), no],
  ['Person', send, ['SlackQueue', 'JobsQueue', 'ChangesQueue'].map(arn), never],
  ['Person', send, arn('CliDeadQueue'), no],
  ['Person', 'dynamodb:Query', arn('RequestsTable'), no, rows('KS-4G7QX2M9ZT0B')], // by its key each is read
  [['Person', 'Unnamed'], 'dynamodb:GetItem', arn('RequestsTable'), yes, rows('KS-4G7QX2M9ZT0B')],
  ['Person', 'dynamodb:GetItem', arn('RequestsTable'), yes, rows('statement#3f9a')],
  ['Person', 'dynamodb:GetItem', tables, yes, rows('part#ABCDEFGHIJKLMNOPQRSTUVWXYZ#000000')],
  ['Person', reading, arn('RunsTable'), yes, rows('KS-4G7QX2M9ZT0B')],
  ['Person', reading, tables, no, rows('evidence#3f9a')],
  ['Person', reading, tables, no, rows('AL-7Z3K9QW2M5XA')],
  ['Person', reading, tables, no, rows('KS-4G7QX2M9ZT0B', 'evidence#3f9a')],
  ['Person', reading, arn('RunsTable'), no, rows('statement#3f9a')],
  ['Person', reading, arn('RunsTable'), no, rows('hold#222222222222/AROAEXAMPLE/inline/x')],
  ['Person', reading, tables, no], // no keys: ForAllValues alone holds for none of them
  ['Person', [...writing, ...managing, 'dynamodb:PartiQLSelect'], tables, no, rows('KS-4G7QX2M9ZT0B')],
  ['Person', 'dynamodb:Query', ['open', 'in_force'].map(m => index('RequestsTable', m)), yes, rows('1')],
  ['Person', 'dynamodb:Query', ['stale', 'alert'].map(m => index('RequestsTable', m)), no, rows('1')],
  ['Person', 'dynamodb:Scan', ['open', 'in_force'].map(m => index('RequestsTable', m)), no],
  ['Person', secret, ['SigningSecret', 'BotToken', 'WebhookKeys'].map(arn), no],
  ['Person', enter, memberRoles, no, ours],
  ['PersonElsewhere', reading, tables, no, rows('KS-4G7QX2M9ZT0B')], // a table has no policy of its own
]
// Where no parameter names anybody.
const unnamed = [
  [['Person', 'PersonElsewhere', 'Bot', 'Administrator'], send, arn('CliQueue'), never],
]

let asked = 0, wrong = 0
async function ask(cases) {
  for (const [whose, actions, on, want, context] of cases)
    for (const who of [whose].flat())
      for (const action of [actions].flat())
        for (const to of [on].flat()) {
          const got = await evaluate(who, action, to, context)
          asked++
          if (got === want) continue
          wrong++
          console.error(`permissions: ${who} ${action} ${to} ${context ? JSON.stringify(context) : ''}: ${got}, want ${want}`)
        }
}
await ask(cases)
left = ['HasCliPrincipals', 'HasIdentityAccounts']
await ask(unnamed)
left = ['HasKmsKey']
await ask(services.map(s => [['Ingress', 'Bot', 'Executor', 'Person'], keyUse, key, no, via(s)]))
left = ['HasAuditBucket']
await ask([['Executor', ['s3:PutObject', 's3:PutObjectRetention'], head, no, locked]])

// Who may call a function, other than the queues that Lambda itself reads.
const callers = Object.values(resources).filter(r => r.Type === 'AWS::Lambda::Permission').map(r => `${r.Properties.FunctionName.Ref} ${r.Properties.Principal}`)
const wanted = ['BotFunction events.amazonaws.com', 'IngressFunction apigateway.amazonaws.com']
if ([...new Set(callers)].sort().join() !== wanted.join()) {
  wrong++
  console.error(`permissions: functions can be called by ${callers}, want ${wanted}`)
}
if (memberParameters.ExecutorRoleName.Default !== parameters.ExecutorRoleName.Default) {
  wrong++
  console.error('permissions: members.yaml trusts another role than template.yaml makes')
}
console.log(`permissions: ${asked} questions, ${wrong} wrong answers`)
process.exitCode = wrong ? 1 : 0
