// Checks the settings of the translated templates that no linter asks for: settings.mjs TEMPLATE MEMBERS.
import { readFileSync } from 'node:fs'

const [{ Resources: resources, Outputs: outputs }, { Parameters: memberParameters }] = process.argv.slice(2).map(file => JSON.parse(readFileSync(file)))
const problems = []
let checks = 0
function want(name, ok, what) {
  checks++
  if (!ok) problems.push(`${name}: want ${what}`)
}
const all = (type, f) => {
  const found = Object.entries(resources).filter(([, r]) => r.Type === type)
  want(type, found.length > 0, 'at least one')
  for (const [name, r] of found) f(name, r.Properties ?? {}, r)
}
const target = ref => ref?.['Fn::GetAtt']?.[0] ?? ref?.Ref

all('AWS::Lambda::Function', (name, p) => {
  want(name, p.Runtime === 'provided.al2023' && p.Handler === 'bootstrap' && p.Architectures.join() === 'arm64', 'a bootstrap on arm64')
  want(name, p.LoggingConfig?.LogFormat === 'JSON' && resources[target(p.LoggingConfig.LogGroup)]?.Type === 'AWS::Logs::LogGroup', 'JSON logs in a group of the stack')
  want(name, name === 'IngressFunction' || p.RecursiveLoop === 'Allow', 'RecursiveLoop: Allow, as it sends to queues that lead back to it')
  want(name, target(p.Role) === name.replace('Function', 'Role'), 'its own role')
  const zone = name.replace('Function', ''), workers = `{"Fn::If":["Reserves${zone}",{"Ref":"${zone}Concurrency"},{"Ref":"AWS::NoValue"}]}`
  want(name, JSON.stringify(p.ReservedConcurrentExecutions) === (zone === 'Bot' ? undefined : workers), 'no workers reserved but by its parameter')
})
const ownKey = '{"Fn::If":["HasKmsKey",{"Ref":"KmsKeyArn"},{"Ref":"AWS::NoValue"}]}'
all('AWS::Logs::LogGroup', (name, p) => {
  want(name, target(p.RetentionInDays) === 'LogRetentionDays', 'the retention of the parameter')
  want(name, JSON.stringify(p.KmsKeyId) === ownKey, 'the key of the parameter')
})

// What their consumers say goes to Slack; what only looks leaves room for containments.
const limited = { SlackQueue: 10, ChangesQueue: 2, AlertsQueue: 2, ImportedQueue: 2, WebhooksQueue: 2, TrailQueue: 2, ChecksQueue: 20, CliQueue: 10 }
const readers = {}
all('AWS::Lambda::EventSourceMapping', (name, p) => {
  const queue = target(p.EventSourceArn), reader = target(p.FunctionName)
  readers[queue] = reader
  want(name, p.FunctionResponseTypes?.join() === 'ReportBatchItemFailures', 'partial batch failures')
  want(name, resources[queue].Properties.VisibilityTimeout >= 6 * resources[reader].Properties.Timeout, "a visibility timeout of six times the function's timeout")
  want(name, p.ScalingConfig?.MaximumConcurrency === limited[queue], `MaximumConcurrency ${limited[queue]}`)
})
want('queues', Object.entries(readers).sort().join(' ') === 'AlertsQueue,BotFunction ChangesQueue,BotFunction ChecksQueue,ExecutorFunction CliQueue,BotFunction ImportedQueue,BotFunction JobsQueue,ExecutorFunction SlackQueue,BotFunction TrailQueue,BotFunction WebhooksQueue,BotFunction', 'their readers')

let dead = 0
all('AWS::SQS::Queue', (name, p) => {
  want(name, JSON.stringify(p.SqsManagedSseEnabled) === '{"Fn::If":["HasKmsKey",false,true]}' && JSON.stringify(p.KmsMasterKeyId) === ownKey, "encryption, with the key of the parameter or SQS's own")
  if (name.endsWith('DeadQueue')) {
    dead++
    want(name, p.MessageRetentionPeriod === 14 * 24 * 3600, 'two weeks')
    want(name, JSON.stringify(resources.DeadMessages.Properties.Metrics).includes(`"${name}"`), 'to be in the alarm')
  } else {
    want(name, target(p.RedrivePolicy?.deadLetterTargetArn) === name.replace('Queue', 'DeadQueue') && p.RedrivePolicy.maxReceiveCount === 5, 'a dead-letter queue after five attempts')
  }
})
want('dead-letter queues', dead === 9, 'nine')

all('AWS::DynamoDB::Table', (name, p, r) => {
  want(name, r.DeletionPolicy === 'Retain' && r.UpdateReplacePolicy === 'Retain' && p.DeletionProtectionEnabled === true, 'protection from deletion')
  want(name, p.PointInTimeRecoverySpecification?.PointInTimeRecoveryEnabled === true, 'point-in-time recovery')
  want(name, p.SSESpecification?.SSEEnabled === true && JSON.stringify(p.SSESpecification.KMSMasterKeyId) === ownKey, "encryption, with the key of the parameter or AWS's")
  want(name, p.TimeToLiveSpecification?.AttributeName === 'ttl' && p.TimeToLiveSpecification.Enabled === true, 'a time to live')
})
all('AWS::SecretsManager::Secret', (name, p) => want(name, !p.SecretString && !p.GenerateSecretString && JSON.stringify(p.KmsKeyId) === ownKey, 'no value in the template, and the key of the parameter'))

all('AWS::ApiGatewayV2::Stage', (name, p) => {
  want(name, p.DefaultRouteSettings?.ThrottlingRateLimit && p.DefaultRouteSettings.ThrottlingBurstLimit, 'throttling')
  const own = Object.entries(p.RouteSettings ?? {}).filter(([, r]) => r.ThrottlingRateLimit && r.ThrottlingBurstLimit).map(([route]) => route)
  want(name, own.sort().join() === 'GET /healthz,POST /events,POST /isolate,POST /requests', "throttling of its own for each route that is not Slack's")
  want(name, p.AccessLogSettings?.Format && !/authorizer|header|body/i.test(p.AccessLogSettings.Format), 'an access log without secrets')
})
all('AWS::ApiGatewayV2::Api', (name, p) =>
  want(name, Object.entries(p.Body.paths).map(([path, o]) => `${Object.keys(o)} ${path}`).sort().join() === 'get /healthz,post /events,post /isolate,post /requests,post /slack,post /slack/{proxy+}', 'the routes of ingress'))

// What somebody must see to: each function and queue has its alarms, and each alarm says what to do.
const alarms = []
all('AWS::CloudWatch::Alarm', (name, p) => {
  want(name, p.AlarmDescription?.length > 80 && p.AlarmDescription.length <= 1024, 'a description of what it means and what to do')
  want(name, JSON.stringify(p.AlarmActions) === '{"Fn::If":["HasAlarmTopic",[{"Ref":"AlarmTopicArn"}],{"Ref":"AWS::NoValue"}]}', 'to tell the topic')
  want(name, p.TreatMissingData === (['Sweeps', 'HealthChecks'].includes(p.MetricName) ? 'breaching' : 'notBreaching'), 'no data to mean trouble of the sweep and the daily check alone')
  if (p.MetricName) alarms.push(`${p.MetricName} ${p.Dimensions.map(d => target(d.Value) ?? d.Value)}`)
})
const alarmed = [
  ...['Ingress', 'Bot', 'Executor'].flatMap(zone => [`Errors ${zone}Function`, `Throttles ${zone}Function`]),
  ...Object.keys(readers).map(queue => `ApproximateAgeOfOldestMessage ${queue}`),
  'ApproximateNumberOfMessagesVisible JobsQueue',
  'NotContained executor', 'RolesNotAssumed executor', 'SlackRefused bot', 'SlackUnavailable bot', 'Sweeps bot',
  'CanaryFailed bot', 'HealthChecks bot', 'HealthChecks executor', 'HealthFailed bot', 'HealthFailed executor', 'Forged ingress', // which the code counts, as a test of cmd/function finds
]
want('alarms', alarms.sort().join() === alarmed.sort().join(), `${alarmed}, not ${alarms}`)

all('AWS::Events::Rule', (name, p, r) => {
  const [t] = p.Targets
  want(name, p.Targets.length === 1 && !p.State && !p.Name, 'one target, enabled, a name that no other stack has')
  if (p.ScheduleExpression) return want(name, p.ScheduleExpression === 'rate(1 minute)' && target(t.Arn) === 'BotFunction', 'a sweep a minute')
  const kind = { ContainmentChangesRule: 'Trail', SecurityHubRule: 'Imported' }[name] ?? 'Alerts'
  want(name, target(t.Arn) === `${kind}Queue` && target(t.DeadLetterConfig?.Arn) === `${kind}DeadQueue` && !t.RoleArn, `the ${kind} queue, and its dead-letter queue`)
  want(name, t.RetryPolicy?.MaximumEventAgeInSeconds === 86400 && t.RetryPolicy.MaximumRetryAttempts === 185, 'a day of attempts')
  want(name, r.Condition === (name === 'RoleChangesRule' ? 'TakesRoleChanges' : undefined), 'no other condition')
  for (const queue of ['AlertsQueue', 'AlertsDeadQueue', 'ImportedQueue', 'ImportedDeadQueue', 'TrailQueue', 'TrailDeadQueue'])
    want(name, JSON.stringify(resources[`${queue}Policy`].Properties.PolicyDocument).includes(`"${name}"`) === queue.startsWith(kind), `to be in the policies of its queues, and not of ${queue}`)
  // Characters that AWS takes: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
  want(name, JSON.stringify(p.EventPattern).length <= 2048, 'a pattern of at most 2,048 characters')
})

// What is tagged like a containment's target, the tamper protection lets nobody change.
const tagged = { samconfig: /^tags = "(.*)"$/m.exec(readFileSync('../../samconfig.toml', 'utf8'))[1].split(' ').map(t => t.split('=')[0]) }
for (const [name, { Properties: p }] of Object.entries(resources)) tagged[name] = Array.isArray(p?.Tags) ? p.Tags.map(t => t.Key) : Object.keys(p?.Tags ?? {})
for (const [name, keys] of Object.entries(tagged)) want(name, keys.every(k => k.toLowerCase() !== 'killswitch'), 'another tag than that of containments')
want('samconfig', tagged.samconfig.join() === 'Application', 'the tag Application')

const given = [...JSON.stringify(outputs.MembersCommand).matchAll(/ParameterKey=(\w+)/g)].map(m => m[1])
want('MembersCommand', given.length > 0 && given.every(k => memberParameters[k]), `parameters that members.yaml has, not ${given}`)
want('MembersCommand', Object.keys(memberParameters).every(k => given.includes(k) || memberParameters[k].Default !== undefined), 'each parameter that has no default')

for (const p of problems) console.error(`settings: ${p}`)
console.log(`settings: ${checks} checks, ${problems.length} problems`)
process.exitCode = problems.length ? 1 : 0
