// Checks what sessions of the member roles may do, with an independent evaluator of IAM policies: members.mjs MEMBERS SESSIONS.
// MEMBERS is the translated members.yaml; a session may do what both its role's policy and its own allow.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const [{ Resources: resources }, sessions] = process.argv.slice(2).map(file => JSON.parse(readFileSync(file)))
const member = '222222222222', management = '999999999999', inMember = `arn:aws:iam::${member}:`, managed = 'arn:aws:iam::aws:policy/'
const policyOf = (role, name) => Object.values(resources).find(r => r.Properties?.Roles?.[0]?.Ref === role && r.Properties.PolicyName === name).Properties.PolicyDocument
const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }
const yes = 'Allowed', no = 'ImplicitlyDenied', never = 'ExplicitlyDenied'

async function simulate(principal, identity, action, resource, context = {}, more = {}) {
  const result = await runSimulation({
    request: { principal, action, resource: { resource, accountId: /:(\d{12}):/.exec(resource)?.[1] ?? principal.split(':')[4] }, contextVariables: { 'aws:PrincipalArn': principal, ...context } },
    identityPolicies: identity.map((policy, i) => ({ name: `policy${i}`, policy })), serviceControlPolicies: [], resourceControlPolicies: [], ...more,
  }, {})
  return result.resultType === 'error' ? { error: JSON.stringify(result.errors) } : { is: result.overallResult }
}
const inSession = (s, ...asked) => simulate(`arn:aws:iam::${s.beneath === 'member' ? member : management}:role/${resources[s.role].Properties.RoleName}`, [policyOf(s.role, s.beneath)], ...asked, { sessionPolicy: s.policy })

const problems = []
let asked = 0

// All that a session is for is allowed: each of its actions on a resource of a type that it supports, as its condition wants it.
const concrete = pattern => pattern === '*' ? '*' : pattern.replace(/service_control_policy\/\*$/, 'service_control_policy/p-abc').replaceAll('*', 'abc')
const meet = condition => Object.fromEntries(Object.entries(condition ?? {}).flatMap(([operator, keys]) =>
  Object.entries(keys).map(([key, values]) => [key, operator === 'Null' ? 'KS-abc' : operator.startsWith('ForAll') ? values : values[0].replaceAll('*', 'abc')])))
for (const s of sessions)
  for (const statement of s.policy.Statement.filter(x => x.Effect === 'Allow'))
    for (const action of statement.Action) {
      const errors = []
      let fits = 0
      for (const on of statement.Resource.map(concrete)) {
        asked++
        const got = await inSession(s, action, on, meet(statement.Condition))
        if (got.error) errors.push(got.error) // of another type
        else if (got.is === yes) fits++
        else problems.push(`${s.name} may not ${action} on ${on}: ${got.is}`)
      }
      if (!fits) problems.push(`${s.name}: ${action} fits none of ${statement.Resource}: ${errors}`)
    }

// What no session may: change what is ours, attach or set anything but our denies, make or alter policies and roles, pass a
// role to anything but EC2, change service control policies that are not ours.
const victim = `${inMember}role/app/victim`, alice = `${inMember}user/staff/alice`, isolation = `${inMember}role/killswitch-isolation`, quarantine = `${inMember}policy/KillSwitchQuarantine`
const scp = `arn:aws:organizations::${management}:policy/o-abc/service_control_policy/p-abc`, account = `arn:aws:organizations::${management}:account/o-abc/${member}`
const policy = arn => ({ 'iam:PolicyARN': arn }), boundary = arn => ({ 'iam:PermissionsBoundary': arn }), to = service => ({ 'iam:PassedToService': service })
const both = ['ResponderRole', 'RestorerRole'], responder = ['ResponderRole'], restorer = ['RestorerRole']
const ours = both.map(role => `${inMember}role/${resources[role].Properties.RoleName}`)
const writes = ['AttachRolePolicy', 'CreateRole', 'DeleteRole', 'DeleteRolePermissionsBoundary', 'DeleteRolePolicy', 'DetachRolePolicy', 'PassRole', 'PutRolePermissionsBoundary', 'PutRolePolicy', 'TagRole', 'UntagRole', 'UpdateAssumeRolePolicy', 'UpdateRole', 'UpdateRoleDescription'].map(a => `iam:${a}`)
const forbidden = [
  [both, writes, ours, {}],
  [both, ['iam:CreatePolicy', 'iam:CreatePolicyVersion', 'iam:SetDefaultPolicyVersion', 'iam:DeletePolicy', 'iam:DeletePolicyVersion', 'iam:TagPolicy'], [quarantine, `${inMember}policy/any`], {}],
  [both, ['iam:UpdateAssumeRolePolicy'], [victim, isolation], {}],
  [both, ['iam:CreateAccessKey', 'iam:CreateLoginProfile', 'iam:UpdateLoginProfile'], [alice], {}],
  [both, ['iam:PassRole'], [victim, isolation], to('lambda.amazonaws.com')],
  [both, ['sts:AssumeRole'], [victim, ...ours], {}],
  [responder, ['iam:PassRole'], [victim], to('ec2.amazonaws.com')],
  [responder, ['iam:AttachUserPolicy'], [alice], policy(`${managed}AdministratorAccess`)],
  [responder, ['iam:AttachUserPolicy'], [alice], policy(`${inMember}policy/any`)],
  [responder, ['iam:AttachRolePolicy'], [victim, isolation], policy(`${managed}AdministratorAccess`)],
  [responder, ['iam:PutUserPermissionsBoundary'], [alice], boundary(`${managed}AdministratorAccess`)],
  [responder, ['iam:PutRolePermissionsBoundary'], [victim, isolation], boundary(`${managed}AdministratorAccess`)],
  [responder, ['iam:DeleteRolePermissionsBoundary'], [victim, isolation], boundary(`${managed}AWSDenyAll`)],
  [responder, ['iam:CreateRole'], [victim, isolation], boundary(`${managed}AWSDenyAll`)],
  [responder, ['iam:CreateInstanceProfile', 'iam:AddRoleToInstanceProfile'], [`${inMember}instance-profile/killswitch-isolation`], {}],
  [restorer, ['iam:AttachUserPolicy'], [alice], policy(quarantine)],
  [restorer, ['iam:DetachUserPolicy'], [alice], policy(`${inMember}policy/guardrail`)],
  [restorer, ['iam:DeleteUserPermissionsBoundary'], [alice], boundary(`${inMember}policy/limits`)],
  [restorer, ['iam:DeleteRolePermissionsBoundary'], [victim], boundary(`${inMember}policy/limits`)],
  [both, ['organizations:AttachPolicy', 'organizations:UpdatePolicy', 'organizations:DetachPolicy', 'organizations:DeletePolicy'], [scp], { 'aws:ResourceTag/team': 'KS-abc' }],
  [both, ['organizations:DeletePolicy'], [scp], { 'aws:ResourceTag/killswitch': 'shared' }],
  [both, ['organizations:TagResource'], [scp], { 'aws:RequestTag/killswitch': 'shared', 'aws:TagKeys': ['killswitch'] }],
  [both, ['organizations:TagResource'], [scp], { 'aws:RequestTag/killswitch': 'KS-abc', 'aws:RequestTag/team': 'x', 'aws:TagKeys': ['killswitch', 'team'] }],
  [both, ['organizations:MoveAccount', 'organizations:RemoveAccountFromOrganization', 'organizations:CloseAccount'], [account], {}],
]
for (const [roles, actions, on, context] of forbidden)
  for (const s of sessions.filter(s => roles.includes(s.role)))
    for (const action of actions)
      for (const resource of on) {
        asked++
        const got = await inSession(s, action, resource, context)
        if (got.is !== no && got.is !== never) problems.push(`${s.name} may ${action} on ${resource} ${JSON.stringify(context)}: ${got.is ?? got.error}`)
      }
// The role by itself denies writes on ours explicitly: whatever else were allowed to it.
for (const role of both)
  for (const action of writes)
    for (const resource of ours) {
      asked++
      const got = await simulate(ours[0], [policyOf(role, 'member'), everything], action, resource)
      if (got.is !== never) problems.push(`${role} may ${action} on ${resource}, if something else allows it: ${got.is ?? got.error}`)
    }

// What is deployed ahead denies: a role with the isolation role's boundary, a user with the quarantine.
const denyAll = { Version: '2012-10-17', Statement: [{ Sid: 'DenyAll', Effect: 'Deny', Action: '*', Resource: '*' }] } // AWS's own AWSDenyAll
if (resources.IsolationRole.Properties.PermissionsBoundary !== `${managed}AWSDenyAll`) problems.push('the isolation role has another boundary')
for (const [who, identity, action, want, more] of [
  [isolation, [everything], 's3:GetObject', never, { permissionBoundaryPolicies: [{ name: 'AWSDenyAll', policy: denyAll }] }],
  [alice, [everything, resources.Quarantine.Properties.PolicyDocument], 's3:GetObject', never],
  [alice, [everything, resources.QuarantineIAM.Properties.PolicyDocument], 'iam:CreateUser', never],
  [alice, [everything, resources.QuarantineIAM.Properties.PolicyDocument], 's3:GetObject', yes],
]) {
  asked++
  const got = await simulate(who, identity, action, action.startsWith('s3:') ? 'arn:aws:s3:::bucket/key' : alice, {}, more)
  if (got.is !== want) problems.push(`${who} ${action}: ${got.is ?? got.error}, want ${want}`)
}

for (const p of problems) console.error(`sessions: ${p}`)
console.log(`sessions: ${asked} questions about ${sessions.length} sessions, ${problems.length} wrong answers`)
process.exitCode = problems.length || sessions.length < 17 ? 1 : 0
