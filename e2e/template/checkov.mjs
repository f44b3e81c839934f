// Judges checkov's report on the translated templates: checkov.mjs REPORT TEMPLATE...
// Every finding that stands is here, with its reason; one that no longer occurs is an error too.
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'

const zones = ['IngressFunction', 'BotFunction', 'ExecutorFunction']
const accepted = [
  ...zones.map(zone => ['template', 'CKV_AWS_116', zone, 'each queue that it reads has a dead-letter queue, and the sweep is not repeated']),
  ...zones.map(zone => ['template', 'CKV_AWS_117', zone, 'it calls AWS and Slack alone; a VPC would add a NAT gateway that containment depends on']),
  ...zones.map(zone => ['template', 'CKV_AWS_173', zone, 'its environment has names and addresses, and no secret']),
  ['template', 'CKV_AWS_115', 'BotFunction', 'each queue that it reads has its own limit'],
  ...['members', 'hub-role'].map(file => [file, 'CKV_AWS_27', 'DeadQueue', "SQS's own encryption: a key of one's own in each account would be one more thing to lose"]),
]

const [report, ...templates] = process.argv.slice(2)
const { results, summary } = JSON.parse(readFileSync(report))
const found = results.failed_checks.map(f => ({ file: basename(f.file_path, '.json'), check: f.check_id, resource: f.resource.split('.').pop(), text: f.check_name }))
const seen = new Set([...results.passed_checks, ...results.failed_checks].map(f => basename(f.file_path, '.json')))

const same = (f, [file, check, resource]) => f.file === file && f.check === check && f.resource === resource
const problems = [
  ...templates.map(t => basename(t, '.json')).filter(t => t !== 'organization' && !seen.has(t)).map(t => `${t}: nothing in it was checked`), // of SCPs there are no rules
  ...(summary.parsing_errors ? [`${summary.parsing_errors} templates can't be read`] : []),
  ...found.filter(f => !accepted.some(a => same(f, a))).map(f => `${f.file}: ${f.resource}: ${f.check}: ${f.text}`),
  ...accepted.filter(a => !found.some(f => same(f, a))).map(([file, check, resource]) => `${file}: ${resource}: ${check} is accepted but no longer found`),
]
for (const p of problems) console.error(`checkov: ${p}`)
console.log(`checkov: ${results.passed_checks.length + found.length} checks, ${found.length} findings, ${accepted.length} accepted with a reason`)
process.exitCode = problems.length ? 1 : 0
