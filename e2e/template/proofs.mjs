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
const original = { templates, left: [], freeze: made && JSON.parse(made.document), sessions: sessions.map(s => s.policy), calls: calls.map(c => c.session?.policy) }

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

// problems is what is wrong with a state.
async function problems(state, first) {
  const found = [], counts = { calls: 0, allowed: 0, forbidden: 0 }
  const all = new Policies(state.templates, state.left)
  const wrong = text => { found.push(text); return first }
  const own = (policies, who, on, more = {}) => {
    const s = subject(policies, who)
    return { ...s, resource: policies.resourcePolicy(on), tamper: s.service ? undefined : policies.tamper, freeze: s.frozen ? state.freeze : undefined, ...more }
  }

  if (!isDeepStrictEqual(all.otherBus, all.documents[written.names.bus].Statement[0]) && wrong("hub-role.yaml lets events in that template.yaml doesn't")) return { found, counts }
  for (const [i, c] of calls.entries()) {
    const on = thing(all, c.on)
    counts.calls++
    const is = await ask({ ...own(all, c.who, on, { session: state.calls[i] }), action: c.action, on, context: c.context })
    if (is !== yes && wrong(`${c.who} called ${c.action} on ${on} ${JSON.stringify(c.context ?? {})}: ${is}${c.session ? `, in a session with ${JSON.stringify(state.calls[i])}` : ''}`)) return { found, counts }
    const other = c.session && another(c.action, on)
    if (!other || ofAll(state.calls[i])) continue
    const elsewhere = await ask({ principal: all.roles.Responder.arn, action: c.action, on: other, context: c.context, session: state.calls[i] })
    counts.forbidden++
    if (elsewhere === yes && wrong(`the session in which ${c.action} was called on ${on} allows it on ${other}: ${JSON.stringify(state.calls[i])}`)) return { found, counts }
  }
  for (const [i, s] of sessions.entries()) for (const statement of s.policy.Statement.filter(x => x.Effect === 'Allow')) for (const action of list(statement.Action)) {
    const role = memberRole(all, s.role.replace('Role', ''), s.beneath === 'member' ? member : management)
    let fits = 0
    for (const on of list(statement.Resource).map(concrete)) {
      const is = await ask({ principal: role.principal, identity: role.identity, session: state.sessions[i], action, on, context: meet(statement.Condition) })
      if (is === undefined) continue
      fits++
      counts.allowed++
      if (is !== yes && wrong(`the session ${s.name} may not ${action} on ${on}: ${is}`)) return { found, counts }
    }
    if (!fits && wrong(`the session ${s.name}: ${action} fits none of ${statement.Resource}`)) return { found, counts }
  }
  for (const [kind, entries] of [['allowed', written.allowed], ['forbidden', written.forbidden]])
    for (const e of entries) {
      const policies = e.without ? new Policies(state.templates, [...state.left, ...e.without]) : all
      const fits = new Set() // an action is only on things of its kinds
      for (const who of list(e.who)) for (const action of list(e.calls)) for (const named of list(e.resources)) {
        const on = thing(policies, named), question = { action, on, context: e.with }
        if (kind === 'allowed') {
          counts.allowed++
          const is = await ask({ ...own(policies, who, on), ...question })
          if (is === undefined) continue
          fits.add(action).add(named)
          if (is !== yes && wrong(`${who} ${action} on ${on} ${JSON.stringify(e.with ?? {})}: ${is}, but ${e.why}`)) return { found, counts }
          continue
        }
        for (const layer of list(e.by)) {
          const mine = own(policies, who, on)
          if (layer === 'freeze' && !made) continue
          if (layer === 'freeze') mine.freeze = state.freeze
          const held = { session: sessions.flatMap((s, i) => s.role === mine.role && s.beneath === mine.beneath && (!e.session || s.name.startsWith(e.session)) ? [state.sessions[i]] : []) }[layer] ?? [mine[layer]]
          if (!layers.includes(layer) || !held.length || held[0] === undefined) throw new Error(`${who} has no ${layer} to forbid ${action} on ${on}`)
          for (const one of held) {
            counts.forbidden++
            const is = await ask({ principal: mine.principal, service: mine.service, [layer]: one, ...question })
            if (is === undefined) continue
            fits.add(action).add(named)
            const holds = e.explicit ? is === never : is === never || is === 'ImplicitlyDenied'
            if (!holds && wrong(`${who} ${action} on ${on} ${JSON.stringify(e.with ?? {})}: ${is} by ${layer} alone${e.session || layer !== 'session' ? '' : ` ${JSON.stringify(one)}`}, want ${e.explicit ? 'a Deny' : 'it denied'}: ${e.why}`)) return { found, counts }
          }
        }
      }
      for (const x of [...list(e.calls), ...list(e.resources)]) if (!fits.has(x) && !(e.by === 'freeze' && !made)) wrong(`${x} fits nothing of ${JSON.stringify(e)}`)
    }
  return { found, counts }
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
  const change = edit => { const s = structuredClone(original); edit(s); return s }
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
    for (const action of actions)
      if (calls.some(c => c.action === action)) yield [`${name} without ${action}`, change(x => {
        for (const s of at(x).map(inner)) if (s.Effect === 'Allow') s.Action = list(s.Action).filter(a => a !== action)
      })]
  }
  for (const [i, s] of sessions.entries()) yield [`the session ${s.name} with everything`, change(x => { x.sessions[i].Statement.push({ Effect: 'Allow', Action: ['*'], Resource: ['*'] }) })]
  if (calls.some(c => c.session)) yield ['sessions for any target', change(x => {
    for (const policy of x.calls) for (const s of policy?.Statement ?? []) if (!list(s.Action).every(reads)) s.Resource = ['*']
  })]
  if (original.freeze) places.push(['freeze', s => s.freeze.Statement])
  for (const [name, at] of places)
    for (const [what, edit] of statements(name, at)) yield [what, change(edit)]
}

// uncalled is what differs from proofs.yaml in what no test calls though it is permitted.
function uncalled() {
  const policies = new Policies(templates), differences = []
  for (const who of ['Ingress', 'Bot', 'Executor', 'Serve', 'Person', 'Responder', 'Restorer', 'DelegatedResponder', 'DelegatedRestorer']) {
    const s = subject(policies, who)
    const mine = c => c.who === who || (s.role && /^arn/.test(c.who) && memberRole(policies, who.replace('Delegated', ''), c.who.split(':')[4]).principal === c.who && memberRole(policies, who.replace('Delegated', ''), c.who.split(':')[4]).beneath === s.beneath)
    const called = new Set([...calls.filter(mine).map(c => c.action), ...written.allowed.filter(e => list(e.who).includes(who)).flatMap(e => list(e.calls))])
    const permitted = new Set(s.identity.flatMap(p => p.Statement).filter(x => x.Effect === 'Allow').flatMap(x => list(x.Action)))
    const known = new Set(list(written.uncalled[who]))
    for (const action of permitted) if (!called.has(action) && !known.has(action)) differences.push(`${who} may ${action}, which no test calls: take it away, or say under uncalled why nobody can`)
    for (const action of known) if (called.has(action) || !permitted.has(action)) differences.push(`${who} ${action} is under uncalled, but ${permitted.has(action) ? 'a test calls it' : 'it is not permitted'}`)
  }
  if (!made) differences.push('no test froze an account')
  return differences
}

const { found, counts } = await problems(original)
for (const p of found) console.error(`proofs: ${p}`)
console.log(`proofs: ${counts.calls} calls that were made, ${counts.allowed} that are, ${counts.forbidden} questions about what is forbidden; ${found.length} wrong answers`)
if (found.length) process.exit(1)
if (whole) {
  const missing = uncalled()
  for (const p of missing) console.error(`proofs: ${p}`)
  if (missing.length) process.exit(1)
}
let unnoticed = 0, tried = 0
for (const [what, state] of mutations()) {
  tried++
  const noticed = (await problems(state, true)).found.length > 0
  if (what in written.redundant ? !noticed : noticed) continue
  if (noticed) {
    unnoticed++
    console.error(`proofs: ${what}: it is noticed, though proofs.yaml calls it redundant`)
    continue
  }
  unnoticed++
  console.error(`proofs: nobody notices: ${what}`)
}
console.log(`proofs: ${tried} mutations, ${unnoticed} unnoticed`)
process.exitCode = unnoticed ? 1 : 0
