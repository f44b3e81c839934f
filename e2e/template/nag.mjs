// Checks translated templates against cdk-nag's AwsSolutions rules: nag.mjs TEMPLATE...
// Every finding that stands is here, with its reason; one that no longer occurs is an error too.
import { App, Stack } from 'aws-cdk-lib'
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include'
import { AwsSolutionsChecks } from 'cdk-nag'

const member = name => `AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:iam::*:role/<${name}>]`
const accepted = [
  [member('ResponderRoleName'), 'ExecutorRole', 'any member account may need containing; the role name is exact, and that role trusts this one alone'],
  [member('RestorerRoleName'), 'ExecutorRole', 'what was contained in any member account may need undoing; the role name is exact'],
  ['AwsSolutions-IAM5[Resource::*]', 'ExecutorRole', 'sts:GetAccessKeyInfo takes no resource; it tells which account a key belongs to, to any caller'],
  ['AwsSolutions-IAM4[Policy::arn:aws:iam::aws:policy/AWSDenyAll]', 'IsolationRole', 'nobody can alter it, which is what it is for'],
  ...['Member', 'Organizations'].flatMap(p => ['Responder', 'Restorer'].map(role => ['AwsSolutions-IAM5', `${role}${p}Policy`, 'anybody and anything may need containing; members.py looks at each permission'])),
  ...['responder', 'restorer'].map(role => [`AwsSolutions-IAM5[Resource::arn:aws:iam::*:role/killswitch-${role}]`, 'HubRole', 'as of ExecutorRole']),
  ['AwsSolutions-IAM5[Resource::*]', 'HubRole', 'as of ExecutorRole'],
  ['AwsSolutions-SQS3', 'DeadQueue', "it is the dead-letter queue of the forwarder's rules, which the check does not look at"],
  ['AwsSolutions-SMG4', 'SigningSecret', 'Slack makes it and has no API to rotate it; while a person does, both values count'],
  ['AwsSolutions-SMG4', 'WebhookKeys', 'the other side of each webhook has its key too, so no function here can change it alone; both values count meanwhile'],
  ['AwsSolutions-SMG4', 'BotToken', 'Slack makes it and an administrator replaces it; the bot takes the new value within five minutes'],
]

const found = process.argv.slice(2).flatMap((templateFile, i) => {
  const stack = new Stack(new App(), `killswitch${i}`)
  new CfnInclude(stack, 'template', { templateFile })
  return new AwsSolutionsChecks().validateScope(stack).violations.flatMap(v =>
    v.violatingResources.map(r => ({ rule: v.ruleName, resource: r.constructPath.split('/').pop(), text: v.description })))
})

const same = (f, [rule, resource]) => (f.rule === rule || f.rule.startsWith(`${rule}[`)) && f.resource === resource
const problems = [
  ...found.filter(f => !accepted.some(a => same(f, a))).map(f => `${f.resource}: ${f.rule}: ${f.text}`),
  ...accepted.filter(a => !found.some(f => same(f, a))).map(([rule, resource]) => `${resource}: ${rule} is accepted but no longer found`),
]
for (const p of problems) console.error(`cdk-nag: ${p}`)
console.log(`cdk-nag: ${found.length} findings, ${accepted.length} accepted with a reason`)
process.exitCode = problems.length ? 1 : 0
