// Proves what the deployed policies allow and deny, with an independent evaluator: proofs.mjs DIRECTORY WRITTEN [CALLS [whole]].
// DIRECTORY has the translated templates. WRITTEN is proofs.yaml: what must be allowed, and what each layer by itself must
// deny. All that a session of sessions.json is for is allowed. CALLS is what the end-to-end tests called, a line each: all
// layers together allow it. At last each Deny, each condition and each permission that was used is taken away in turn, and
// each session gets more, which must not go unnoticed.
import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { Policies, ask, hub, layers, member, management, person, stack } from './policies.mjs'

const [directory, writtenFile, callsFile, whole] = process.argv.slice(2)
const templates = Object.fromEntries(['template', 'members', 'organization', 'hub-role'].map(name => [name, JSON.parse(readFileSync(`${directory}/${name}.json`))]))
const written = JSON.parse(readFileSync(writtenFile)), sessions = JSON.parse(readFileSync('sessions.json'))
const calls = callsFile ? readFileSync(callsFile, 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line)) : []
// The freeze as an account got it.
const made = calls.find(c => c.name === 'killswitch-freeze')
const yes = 'Allowed', never = 'ExplicitlyDenied'

// State is what a mutation changes.
const original = { templates, freeze: made && JSON.parse(made.document), sessions: sessions.map(s => s.policy), calls: calls.map(c => c.session?.policy) }

// Who asks, with the layers that are their own.
function subject(policies, who) {
  if (who.endsWith('.amazonaws.com')) return { service: who }
  const at = /^arn:aws:iam::(\d{12}):role\/killswitch-(responder|restorer)$/.exec(who)
  if (at) return memberRole(policies, at[2][0].toUpperCase() + at[2].slice(1), at[1])
  const people = { Person: hub, PersonElsewhere: '666666666666', Stranger: '444444444444' }
  if (who in people) return { principal: person(people[who]), identity: [policies.cli] }
  if (who === 'Quarantined') return { principal: written.names.alice, identity: [{ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }, policies.quarantines[0].PolicyDocument] }
  if (who === 'QuarantinedIAM') return { principal: written.names.alice, identity: [{ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }, policies.quarantines[1].PolicyDocument] }
  const role = policies.roles[who.replace(/^Delegated/, '')]
  if (!role) {
    if (!written.names[who]) throw new Error(`who is ${who}?`)
    return { principal: written.names[who] }
  }
  if (['Responder', 'Restorer'].includes(who)) return memberRole(policies, who, member)
  if (who.startsWith('Delegated')) return memberRole(policies, who.slice('Delegated'.length), management)
  return { principal: role.arn, identity: Object.values(role.policies), boundary: role.boundary }
}

// In the account that manages policies the member roles are for Organizations alone.
function memberRole(policies, name, account) {
  const role = policies.roles[name], manages = account === management || account.startsWith('90000000')
  return { principal: role.arn.replace(member, account), identity: [role.policies[manages ? 'organizations' : 'member']], boundary: role.boundary, frozen: !manages, role: `${name}Role`, beneath: manages ? 'organizations' : 'member' }
}

// What is named on a call as moto named it, or in proofs.yaml by its name.
function thing(policies, on) {
  if (written.names[on]) return written.names[on]
  const [id, ...rest] = on.split('/')
  if (policies.resources[id]) return [policies.arn(id), ...rest].join('/')
  const deployed = new RegExp(`^arn:aws:(?:sqs|dynamodb|secretsmanager):[^:]*:${hub}:(?:table/|secret:)?${stack}-([A-Za-z]+)[^/]*(.*)$`).exec(on)
  return deployed && policies.resources[deployed[1]] ? policies.arn(deployed[1]) + deployed[2] : on
}

const list = v => (v === undefined ? [] : [v].flat(Infinity))

// own is what decides on a call of somebody.
function own(state, policies, who, on) {
  const s = subject(policies, who)
  return { ...s, resource: policies.resourcePolicy(on), tamper: s.service ? undefined : policies.tamper, freeze: s.frozen ? state.freeze : undefined }
}

const counts = { calls: 0, allowed: 0, forbidden: 0 }
const text = context => JSON.stringify(context ?? {})

// called is what is wrong with calls that were made: all layers together must allow them, and the session of a request
// must not allow them on another target.
async function* called(state, all) {
  if (!isDeepStrictEqual(all.otherBus, all.documents[written.names.bus].Statement[0])) yield "hub-role.yaml lets events in that template.yaml doesn't"
  for (const [i, c] of calls.entries()) {
    const on = thing(all, c.on), session = state.calls[i]
    counts.calls++
    const is = await ask({ ...own(state, all, c.who, on), session, action: c.action, on, context: c.context })
    if (is !== yes) yield `${c.who} called ${c.action} on ${on} ${text(c.context)}: ${is}${session ? `, in a session with ${text(session)}` : ''}`
    const other = session && another(c.action, on)
    if (!other || ofAll(session)) continue
    counts.forbidden++
    if (await ask({ principal: all.roles.Responder.arn, action: c.action, on: other, context: c.context, session }) === yes) yield `the session in which ${c.action} was called on ${on} allows it on ${other}: ${text(session)}`
  }
}

// kept is what is wrong with what sessions are for, and with rules, whose queues let them send.
async function* kept(state, all) {
  for (const [id, r] of Object.entries(all.resources))
    for (const t of (r.Type === 'AWS::Events::Rule' && r.Properties.Targets) || [])
      for (const queue of [t.Arn, t.DeadLetterConfig?.Arn].map(x => x && all.resolve(x)).filter(x => x?.includes(':sqs:'))) {
        counts.allowed++
        const is = await ask({ ...own(state, all, 'events.amazonaws.com', queue), action: 'sqs:SendMessage', on: queue, context: { 'aws:SourceArn': all.arn(id) } })
        if (is !== yes) yield `the rule ${id} sends to ${queue}: ${is}`
      }
  for (const [i, s] of sessions.entries())
    for (const statement of s.policy.Statement.filter(x => x.Effect === 'Allow'))
      for (const action of list(statement.Action)) {
        const role = memberRole(all, s.role.replace('Role', ''), s.beneath === 'member' ? member : management)
        let fits = 0
        for (const on of list(statement.Resource).map(concrete)) {
          const is = await ask({ principal: role.principal, identity: role.identity, session: state.sessions[i], action, on, context: meet(statement.Condition) })
          if (is === undefined) continue
          fits++
          counts.allowed++
          if (is !== yes) yield `the session ${s.name} may not ${action} on ${on}: ${is}`
        }
        if (!fits) yield `the session ${s.name}: ${action} fits none of ${statement.Resource}`
      }
}

// said is what is wrong with what proofs.yaml says.
async function* said(state, all) {
  for (const e of [...written.allowed, ...written.forbidden]) {
    if ((e.by === 'freeze' || e.frozen) && !made) continue
    const policies = e.without ? new Policies(state.templates, e.without) : all
    const fits = new Set() // an action is only on things of its kinds
    for (const who of list(e.who)) for (const action of list(e.calls)) for (const named of list(e.resources)) {
      const on = thing(policies, named), mine = { ...own(state, policies, who, on), ...(e.frozen ? { freeze: state.freeze } : {}), action, on, context: e.with }
      for (const layer of e.by ? list(e.by) : [undefined])
        for (const question of layer ? alone(state, e, mine, layer) : [mine]) {
          const is = await ask(question)
          if (is === undefined) continue
          fits.add(action).add(named)
          counts[layer ? 'forbidden' : 'allowed']++
          if (!layer && is !== yes) yield `${who} ${action} on ${on} ${text(e.with)}: ${is}, but ${e.why}`
          if (layer && (e.explicit ? is !== never : is === yes)) yield `${who} ${action} on ${on} ${text(e.with)}: ${is} by ${layer} alone ${layer === 'session' ? text(question.session) : ''}, want ${e.explicit ? 'a Deny' : 'it denied'}: ${e.why}`
        }
    }
    for (const x of [...list(e.calls), ...list(e.resources)]) if (!fits.has(x)) yield `${x} fits nothing of ${text(e)}`
  }
}

// alone are the questions with one layer in force. A session is each of sessions.json that the role has.
function alone(state, e, { principal, service, action, on, context, ...mine }, layer) {
  const held = layer !== 'session' ? [layer === 'freeze' ? state.freeze : mine[layer]]
    : sessions.flatMap((s, i) => (s.role === mine.role && s.beneath === mine.beneath && (!e.session || s.name.startsWith(e.session)) ? [state.sessions[i]] : []))
  if (!layers.includes(layer) || !held.length || held.includes(undefined)) throw new Error(`there is no ${layer} to forbid ${action} on ${on}: ${e.why}`)
  return held.map(one => ({ principal, service, action, on, context, [layer]: one }))
}

// problems are all that is wrong with a state; what can only have been loosened shows in what is forbidden.
async function* problems(state, looser) {
  const all = new Policies(state.templates)
  for (const part of looser ? [said, called, kept] : [called, kept, said]) yield* part(state, all)
}

// What a session is for is allowed on a resource that its pattern stands for, as its condition wants it.
const concrete = pattern => (pattern === '*' ? '*' : pattern.replace(/service_control_policy\/\*$/, 'service_control_policy/p-abc').replaceAll('*', 'abc'))
const meet = condition => Object.fromEntries(Object.entries(condition ?? {}).flatMap(([operator, keys]) =>
  Object.entries(keys).map(([key, values]) => [key, operator === 'Null' ? 'KS-abc' : operator.startsWith('ForAll') ? values : values[0].replaceAll('*', 'abc')])))

// another is a thing of the same kind as the target of a session.
function another(action, on) {
  if (reads(action)) return undefined
  if (/:(role|user)\//.test(on)) return on.replace(/(:(?:role|user)\/).*/, '$1somebody-else')
  if (/:instance\/i-/.test(on)) return on.replace(/i-[0-9a-f]+$/, 'i-0fedcba9876543210')
  return undefined
}

// ofAll reports whether a session is that of revoke_sessions ALL: it changes inline policies of all roles, and nothing else.
function ofAll(policy) {
  const changes = policy.Statement.filter(s => s.Effect === 'Allow' && !list(s.Action).every(reads))
  return changes.length > 0 && changes.every(s => list(s.Action).every(a => reads(a) || ['iam:PutRolePolicy', 'iam:DeleteRolePolicy'].includes(a)) && list(s.Resource).every(r => /^arn:aws:iam::\d{12}:role\/\*$/.test(r)))
}
const reads = action => /:(Get|List|Describe|Lookup)/.test(action)

// mutations are what each could be lost by mistake: every Deny, every condition, and a permission of each role.
function* mutations() {
  const change = (edit, part = 'templates') => { const s = { ...original, [part]: structuredClone(original[part]) }; edit(s); return s }
  const inner = v => v?.['Fn::If']?.[1] ?? v // what holds where the template's condition does
  const statements = (name, at) => at(original).flatMap((outer, i) => {
    const s = inner(outer), where = `${name}, statement ${s.Sid ?? i}`, of = x => inner(at(x)[i])
    const keys = s.Condition?.['Fn::If'] ? [] : Object.entries(s.Condition ?? {}).flatMap(([op, keys]) => (keys['Fn::If'] ? [[op]] : Object.keys(keys).map(key => [op, key])))
    return [
      ...s.Effect === 'Deny' ? [[`${where} dropped`, x => at(x).splice(i, 1)]] : [],
      ...s.Condition?.['Fn::If'] ? [[`${where} without a condition`, x => { delete of(x).Condition }]] : [],
      ...keys.map(([op, key]) => [`${where} without ${op} ${key ?? ''}`, x => {
        const c = of(x).Condition
        if (key) delete c[op][key]
        if (!key || !Object.keys(c[op]).length) delete c[op]
      }]),
    ]
  })
  const places = []
  for (const [file, t] of Object.entries(templates))
    for (const [id, r] of Object.entries(t.Resources ?? {})) {
      const p = r.Properties
      const add = (name, path) => {
        const at = s => path.reduce((v, k) => v[k], s.templates[file].Resources[id].Properties)
        places.push([`${id} ${name}`, at])
      }
      if (r.Type === 'AWS::IAM::Role') { add('trust', ['AssumeRolePolicyDocument', 'Statement']); (p.Policies ?? []).forEach((x, i) => add(x.PolicyName, ['Policies', i, 'PolicyDocument', 'Statement'])) }
      if (['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy', 'AWS::SQS::QueuePolicy'].includes(r.Type) && !(file === 'members' && r.Type === 'AWS::SQS::QueuePolicy') && file !== 'hub-role') add('', ['PolicyDocument', 'Statement'])
      if (r.Type === 'AWS::Events::EventBusPolicy') places.push([id, s => [s.templates[file].Resources[id].Properties.Statement]])
      if (r.Type === 'AWS::Organizations::Policy') add('', ['Content', 'Statement'])
    }
  for (const [name, at] of places.filter(([name]) => !/trust|QueuePolicy|TlsOnly|ForwardedEvents|Quarantine/.test(name))) {
    const actions = new Set(at(original).map(inner).filter(s => s.Effect === 'Allow').flatMap(s => list(s.Action)))
    const who = { HubRole: 'serve', KillswitchCLI: 'person' }[name.split(' ')[0]] ?? /^(Ingress|Bot|Executor|Responder|Restorer)/.exec(name)?.[0].toLowerCase()
    for (const action of actions)
      if (calls.some(c => c.action === action && c.who.toLowerCase().endsWith(who))) yield [`${name} without ${action}`, change(x => {
        for (const s of at(x).map(inner)) if (s.Effect === 'Allow') s.Action = list(s.Action).filter(a => a !== action)
      }), false]
  }
  for (const [i, s] of sessions.entries()) yield [`the session ${s.name} with everything`, change(x => { x.sessions[i].Statement.push({ Effect: 'Allow', Action: ['*'], Resource: ['*'] }) }, 'sessions'), true]
  if (calls.some(c => c.session)) yield ['sessions for any target', change(x => {
    for (const policy of x.calls) for (const s of policy?.Statement ?? []) if (!list(s.Action).every(reads)) s.Resource = ['*']
  }, 'calls'), false]
  if (original.freeze) places.push(['freeze', s => s.freeze.Statement, 'freeze'])
  for (const [name, at, part] of places)
    for (const [what, edit] of statements(name, at)) yield [what, change(edit, part), true]
}

// uncalled is what differs from proofs.yaml in what no test calls though it is permitted.
function* uncalled() {
  const policies = new Policies(templates)
  if (!made) yield 'no test froze an account'
  for (const who of ['Ingress', 'Bot', 'Executor', 'Serve', 'Person', 'Responder', 'Restorer', 'DelegatedResponder', 'DelegatedRestorer']) {
    const { identity, role, beneath } = subject(policies, who)
    const mine = c => (c.who.startsWith('arn:') ? [subject(policies, c.who)].some(s => s.role === role && s.beneath === beneath) : c.who === who)
    const called = new Set([...calls.filter(mine).map(c => c.action), ...written.allowed.filter(e => list(e.who).includes(who)).flatMap(e => list(e.calls))])
    const permitted = new Set(identity.flatMap(p => p.Statement).filter(x => x.Effect === 'Allow').flatMap(x => list(x.Action)))
    const known = list(written.uncalled[who])
    const idle = [...permitted].filter(action => !called.has(action) && !known.includes(action)), gone = known.filter(action => called.has(action) || !permitted.has(action))
    if (idle.length) yield `${who} may ${idle.join(', ')}, which no test calls: take it away, or write it under uncalled`
    if (gone.length) yield `${who} under uncalled: ${gone.join(', ')} is called, or not permitted`
  }
}

let wrong = 0
for await (const p of problems(original)) {
  wrong++
  console.error(`proofs: ${p}`)
}
for (const p of whole ? uncalled() : []) {
  wrong++
  console.error(`proofs: ${p}`)
}
console.log(`proofs: ${counts.calls} calls that were made, ${counts.allowed} that must be allowed, ${counts.forbidden} that are forbidden; ${wrong} wrong answers`)
if (wrong) process.exit(1)
let tried = 0
for (const [what, state, looser] of whole ? mutations() : []) {
  tried++
  const noticed = !(await problems(state, looser).next()).done
  if (noticed === !(what in written.redundant)) continue
  wrong++
  console.error(`proofs: ${what}: ${noticed ? 'it is noticed, though proofs.yaml calls it redundant' : 'nobody notices'}`)
}
if (whole) console.log(`proofs: ${tried} mutations, ${wrong} wrong`)
process.exitCode = wrong ? 1 : 0
