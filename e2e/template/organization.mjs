// Checks the tamper protection with an independent evaluator of IAM policies: organization.mjs ORGANIZATION MEMBERS.
// Both are translated templates. Whoever calls may do everything by its own policy; the service control policy stands above it.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const [organization, { Resources: members }] = process.argv.slice(2).map(file => JSON.parse(readFileSync(file)))
const scp = organization.Resources.TamperProtection.Properties
const account = '222222222222', iam = `arn:aws:iam::${account}:`
const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }
const admin = `${iam}role/admin`, stackSets = `${iam}role/stacksets-exec-0123456789abcdef`, root = `${iam}root`
const ours = ['ResponderRole', 'RestorerRole'].map(role => `${iam}role/${members[role].Properties.RoleName}`)
const tagged = { 'aws:ResourceTag/killswitch': 'KS-4G7QX2M9ZT0B' }, tag = (...keys) => ({ 'aws:TagKeys': keys, ...Object.fromEntries(keys.map(k => [`aws:RequestTag/${k}`, 'x'])) })
const role = `${iam}role/app/victim`, user = `${iam}user/staff/eve`, eni = `arn:aws:ec2:us-east-1:${account}:network-interface/eni-1`, snapshot = 'arn:aws:ec2:us-east-1::snapshot/snap-1', group = `arn:aws:ec2:us-east-1:${account}:security-group/sg-1`
const outsiders = [admin, root, stackSets, `${iam}role/AWSControlTowerExecution`]
const iamWrites = (...acts) => acts.map(a => `iam:${a}`)

// who, actions, on, context, whether it goes on
const questions = [
  [outsiders, iamWrites('DeleteRolePolicy', 'PutRolePolicy', 'AttachRolePolicy', 'DetachRolePolicy', 'PutRolePermissionsBoundary', 'DeleteRolePermissionsBoundary', 'UpdateAssumeRolePolicy', 'UpdateRole', 'DeleteRole', 'TagRole', 'UntagRole'), role, tagged, false],
  [outsiders, iamWrites('DeleteUserPolicy', 'DetachUserPolicy', 'PutUserPermissionsBoundary', 'DeleteUserPermissionsBoundary', 'UpdateUser', 'DeleteUser', 'UntagUser', 'CreateAccessKey', 'UpdateAccessKey', 'CreateLoginProfile', 'UpdateLoginProfile', 'EnableMFADevice', 'DeactivateMFADevice', 'CreateServiceSpecificCredential', 'UploadSSHPublicKey', 'UploadSigningCertificate'), user, tagged, false],
  [ours, iamWrites('DeleteRolePolicy', 'PutRolePolicy', 'DetachRolePolicy', 'PutRolePermissionsBoundary', 'TagRole', 'UntagRole'), role, tagged, true],
  [ours, iamWrites('DeleteUserPolicy', 'PutUserPolicy', 'UpdateAccessKey', 'UntagUser'), user, tagged, true],
  [outsiders, [...iamWrites('GetRole', 'ListRolePolicies'), 'sts:AssumeRole'], role, tagged, true],
  [outsiders, iamWrites('DeleteRolePolicy', 'UpdateAssumeRolePolicy', 'DeleteRole'), role, {}, true],
  [outsiders, iamWrites('TagRole', 'CreateRole'), role, tag('killswitch'), false],
  [outsiders, iamWrites('TagRole', 'UntagRole'), role, tag('team', 'KILLSWITCH'), false],
  [outsiders, ['iam:TagRole'], role, tag('team', 'killswitch-request'), true],
  [outsiders, ['iam:TagRole'], role, { ...tag(...Array.from({ length: 50 }, (_, i) => `filler-${i}`)) }, true], // which leaves ours no room: the card says so
  [outsiders, ['ec2:CreateTags'], eni, tag('killswitch'), false],
  [outsiders, ['ec2:ModifyNetworkInterfaceAttribute', 'ec2:DeleteTags', 'ec2:AttachNetworkInterface', 'ec2:DetachNetworkInterface'], eni, tagged, false],
  [outsiders, ['ec2:DeleteSnapshot', 'ec2:ModifySnapshotAttribute', 'ec2:UnlockSnapshot'], snapshot, tagged, false],
  [outsiders, ['ec2:AuthorizeSecurityGroupEgress', 'ec2:AuthorizeSecurityGroupIngress', 'ec2:DeleteSecurityGroup'], group, tagged, false],
  [outsiders, ['ec2:ModifyNetworkInterfaceAttribute', 'ec2:DeleteTags'], eni, {}, true],
  [ours, ['ec2:ModifyNetworkInterfaceAttribute', 'ec2:DeleteTags'], eni, tagged, true],
  ...[...ours, `${iam}role/killswitch-isolation`].map(on => [[admin, root, ...ours], iamWrites('UpdateAssumeRolePolicy', 'PutRolePolicy', 'AttachRolePolicy', 'DeleteRole', 'CreateRole', 'TagRole'), on, {}, false]),
  ...ours.map(on => [[stackSets], iamWrites('UpdateAssumeRolePolicy', 'PutRolePolicy', 'DeleteRole', 'CreateRole'), on, {}, true]),
  ...['Quarantine', 'QuarantineIAM'].map(id => [[admin, root, ...ours], iamWrites('CreatePolicyVersion', 'SetDefaultPolicyVersion', 'DeletePolicy'), `${iam}policy/${members[id].Properties.ManagedPolicyName}`, {}, false]),
  [[admin, root], iamWrites('AddRoleToInstanceProfile', 'RemoveRoleFromInstanceProfile', 'DeleteInstanceProfile'), `${iam}instance-profile/${members.IsolationProfile.Properties.InstanceProfileName}`, {}, false],
  [[...outsiders, ...ours], iamWrites('CreateRole', 'UpdateAssumeRolePolicy', 'PutRolePolicy'), stackSets, {}, false],
  [[...outsiders, ...ours], ['organizations:LeaveOrganization', 'account:CloseAccount'], '*', {}, false],
  [[admin, `${iam}role/deploy`], ['cloudformation:CreateStack', 's3:ListAllMyBuckets'], '*', {}, true],
]

const problems = []
let asked = 0
for (const [who, actions, on, context, goesOn] of questions)
  for (const principal of who)
    for (const action of actions) {
      asked++
      const result = await runSimulation({
        request: { principal, action, resource: { resource: on, accountId: account }, contextVariables: { 'aws:PrincipalArn': principal, ...context } },
        identityPolicies: [{ name: 'everything', policy: everything }],
        serviceControlPolicies: [{ orgIdentifier: 'root', policies: [{ name: 'FullAWSAccess', policy: everything }, { name: scp.Name, policy: scp.Content }] }], resourceControlPolicies: [],
      }, {})
      const is = result.resultType === 'error' ? JSON.stringify(result.errors) : result.overallResult
      if (is !== (goesOn ? 'Allowed' : 'ExplicitlyDenied')) problems.push(`${principal} ${action} on ${on} ${JSON.stringify(context)}: ${is}, want ${goesOn ? 'allowed' : 'denied'}`)
    }

for (const p of problems) console.error(`tamper protection: ${p}`)
console.log(`tamper protection: ${asked} questions, ${problems.length} wrong answers`)
process.exitCode = problems.length ? 1 : 0
