// picture.js: draws what the kernel says about sockets. One drawing for the live view of
// lesson 12, for the deck and for the pages.
//
//   draw(snapshot, before, options) -> { svg, words, layout, tree, changes, marked }
//     snapshot  { time, machines: [{ name, addresses, programs: [{ pid, name, sockets }], orphans }] };
//               a socket is { fd, local, peer, state, recv_q, send_q }, and orphans are the sockets
//               that no program has. Numbers and spellings are those of lesson 04; a socket may
//               have send_max and recv_max, the sizes of its buffers.
//     before    the `layout` of the drawing before this one, or null. What is still there keeps its
//               place and its colour, and what has changed is marked. Keep a
//               layout as it is: it is not JSON, and drawing does not change it.
//     options   title, id (a prefix of ids, when a page has several drawings), theme ('light' or
//               'dark'; else the system decides), standalone (true: with the CSS, for a file),
//               slots (how many cards there are one below the other, 5 unless told; 1 to 6),
//               most (how many there may be where more are needed: the drawing gets taller then),
//               height (720 unless told, at least 440), kernel (false: only the machines, for a first
//               picture without sockets), mark (false: mark nothing; or a list of what to mark in
//               place of the change: [{ machine, fd, part }], where part 'peer' is the peer alone)
//     svg       the drawing as text. The same input gives the same text, to the byte.
//     words     the same in words, one line for each thing that is drawn
//     changes   what has changed since the drawing before, in words: a list of lines
//     marked    the one of them that is marked, or null
//     tree      the drawing for toNodes(tree, document), which makes DOM nodes of it
//   difference(before, after) -> lines: what has changed between two snapshots, in words
//   CSS         the colours, as a style sheet: for the page, and inside standalone files
//   el, rect, path, text, serialize   what slides/figures.mjs makes its other drawings of
//
// Everything that is shown is escaped text, and the drawing has no style attribute and no script,
// so that a page with a strict Content-Security-Policy can show it. A snapshot with missing or
// wrong fields is refused with a TypeError that names the field.

// --- 1. Text: cleaned, measured, cut to fit -------------------------------------------------------

export const FONT_SIZE = 28 // the smallest letters that the back row of a lecture can read
const FONT = '"DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace'
const CHARACTER = 0.61 // of the font size: more than any font in that list needs (0.55 to 0.602)

// What XML does not allow, and what would change the text around it (controls that set the
// direction of writing), becomes U+FFFD. So does half a surrogate pair.
const CONTROLS = '[\\0-\\x1f\\x7f-\\x9f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\uffff]'
const LONE = '[\\ud800-\\udbff](?![\\udc00-\\udfff])|(?<![\\ud800-\\udbff])[\\udc00-\\udfff]'
const UNSAFE = new RegExp(`${CONTROLS}|${LONE}`, 'g')
export const clean = (text) => text.replace(UNSAFE, '\ufffd')

const ASCII = /^[\x20-\x7e\u2026\u2013]*$/

// The width of a text in pixels, rather more than less. Letters that another font has to bring are
// counted as wide ones; text() then holds the browser to that width.
export function textWidth(text, size = FONT_SIZE) {
  if (ASCII.test(text)) return text.length * CHARACTER * size
  let em = 0
  for (const c of text) em += c.codePointAt(0) < 0x300 ? CHARACTER : 2 * CHARACTER
  return em * size
}

// The text itself if it fits into so many pixels, else as much of it as fits and an ellipsis. The
// first characters are kept, and the last `keepEnd` ones: an endpoint keeps its port.
function fit(text, width, keepEnd = 0) {
  if (textWidth(text) <= width) return text
  const all = Array.from(text.slice(0, 400))
  const end = keepEnd ? text.slice(-keepEnd) : ''
  let start = ''
  for (const c of all) {
    if (textWidth(`${start}${c}\u2026${end}`) > width) break
    start += c
  }
  return `${start}\u2026${end}`
}

const short = (name) => (name.length > 60 ? `${clean(name.slice(0, 60))}\u2026` : clean(name))
const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`

// --- 2. The snapshot: checked, and its sockets joined to their other ends -------------------------

const STATES =
  'ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN CLOSING ? UDP'.split(' ')
const CONNECTING = new Set(['SYN_SENT', 'SYN_RECV'])
// What its program has closed and the kernel still keeps.
const isOver = (s) => !s.udp && !s.owners.length && !s.queued && s.state !== 'LISTEN' && !CONNECTING.has(s.state)
// Both buffers can hold bytes in these states; in the others there is no connection (any more).
// (UDP is no state: a socket for datagrams is as it is, with a fixed peer or without.)
const HAS_BUFFERS = new Set(['UDP', 'ESTABLISHED', 'FIN_WAIT1', 'FIN_WAIT2', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSING'])

function need(isRight, path, what, value) {
  if (isRight) return
  let seen = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value
  if (typeof value === 'string') seen = `"${short(value)}"`
  if (typeof value === 'number') seen = String(value)
  throw new TypeError(`${path} must be ${what}, and is ${seen}`)
}
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const isCount = (value) => Number.isSafeInteger(value) && value >= 0

// "HOST:PORT", "[::1]:PORT" or "none" -> { text, host, port, id }; port is -1 where there is none.
// Two endpoints with one id are the same place: 127.0.0.1 is another place on each machine, every
// other address is the same for all. `mine` remembers what has been read of a machine, since most
// endpoints come more than once.
function endpoint(text, path, seen, mine) {
  if (mine.has(text)) return mine.get(text)
  const colon = typeof text === 'string' && text.length < 300 ? text.lastIndexOf(':') : -1
  const [written, port] = [colon > 0 ? text.slice(0, colon) : '', colon > 0 ? text.slice(colon + 1) : '']
  const isPair = /^\d{1,5}$/.test(port) && port < 65536 && /^(\[[^\]\s]+\]|[^:[\]\s]+)$/.test(written)
  const isRight = text === 'none' || isPair
  if (!isRight) need(false, path(), 'an endpoint such as "127.0.0.1:6666", or "none"', text)
  const host = text === 'none' ? '' : written.replace(/^\[::ffff:(\d+\.\d+\.\d+\.\d+)\]$/i, '$1')
  const ids = isLoopback(host) ? mine.ids : seen.ids
  const place = host === written ? text : `${host}:${port}`
  if (!ids.has(place)) ids.set(place, seen.next++)
  const made = { text: clean(text), host, port: text === 'none' ? -1 : Number(port), id: ids.get(place) }
  mine.set(text, made)
  return made
}
const isLoopback = (host) => host.startsWith('127.') || host === '[::1]'
const isAny = (host) => host === '0.0.0.0' || host === '[::]' || host === '*'

// Checks a snapshot and returns what the rest of this file works with:
//   { machines: [{ name, addresses, programs: [{ key, pid, name }] }], sockets, byKey }
// A socket that two programs share (after fork()) is one socket, with two owners.
function read(snapshot) {
  need(isObject(snapshot), 'snapshot', 'an object', snapshot)
  need(Number.isFinite(snapshot.time), 'snapshot.time', 'a number of milliseconds', snapshot.time)
  need(Array.isArray(snapshot.machines), 'snapshot.machines', 'an array', snapshot.machines)
  const model = { machines: [], sockets: [], byKey: new Map() }
  const seen = { ids: new Map(), next: 1 }
  const names = new Set()
  snapshot.machines.forEach((machine, m) => {
    const at = `snapshot.machines[${m}]`
    need(isObject(machine), at, 'an object', machine)
    need(typeof machine.name === 'string', `${at}.name`, 'a string', machine.name)
    need(!names.has(machine.name), `${at}.name`, 'a name that no other machine has', machine.name)
    names.add(machine.name)
    for (const list of ['addresses', 'programs', 'orphans']) {
      need(Array.isArray(machine[list]), `${at}.${list}`, 'an array', machine[list])
    }
    machine.addresses.forEach((a, i) => need(typeof a === 'string', `${at}.addresses[${i}]`, 'a string', a))
    const made = { name: machine.name, addresses: machine.addresses.map((a) => short(a)), programs: [] }
    model.machines.push(made)
    const mine = Object.assign(new Map(), { ids: new Map() })
    const add = (s, owner, path) => readSocket(model, made, s, owner, path, (text, field) => endpoint(text, field, seen, mine))
    machine.programs.forEach((program, p) => {
      const there = `${at}.programs[${p}]`
      need(isObject(program), there, 'an object', program)
      need(isCount(program.pid), `${there}.pid`, 'a process id', program.pid)
      need(typeof program.name === 'string', `${there}.name`, 'a string', program.name)
      need(Array.isArray(program.sockets), `${there}.sockets`, 'an array', program.sockets)
      const owner = { key: `${made.name}/${program.pid}`, pid: program.pid, name: short(program.name) || '?', busy: false }
      made.programs.push(owner)
      program.sockets.forEach((s, i) => add(s, owner, () => `${there}.sockets[${i}]`))
    })
    machine.orphans.forEach((s, i) => add(s, null, () => `${at}.orphans[${i}]`))
  })
  join(model)
  return model
}

function readSocket(model, machine, s, owner, path, endpointOf) {
  if (!isObject(s)) need(false, path(), 'an object', s)
  const fd = s.fd === undefined ? null : s.fd
  // The names of fields are made only where they are needed: there may be 20,000 sockets.
  const check = (isRight, field, what) => isRight || need(false, `${path()}.${field}`, what, s[field])
  check(fd === null || isCount(fd), 'fd', 'a file descriptor or null')
  check(STATES.includes(s.state), 'state', 'a state of TCP such as "ESTABLISHED", or "UDP"')
  check(isCount(s.recv_q), 'recv_q', 'a number of bytes')
  check(isCount(s.send_q), 'send_q', 'a number of bytes')
  const local = endpointOf(s.local, () => `${path()}.local`)
  const peer = endpointOf(s.peer, () => `${path()}.peer`)
  const has = owner && fd !== null
  // A connected socket is told from others by its protocol and its two endpoints, and only by them.
  const udp = s.state === 'UDP'
  const key = `${machine.name} ${udp ? 'UDP ' : ''}${local.text} ${peer.text}${peer.port < 0 ? ` ${owner ? owner.pid : '-'} ${fd}` : ''}`
  const same = model.byKey.get(key)
  if (same) {
    if (has) same.owners.push({ program: owner, fd })
    return
  }
  const made = {
    key, machine, local, peer, udp, state: s.state, recv: s.recv_q, send: s.send_q,
    recvMax: isCount(s.recv_max) ? s.recv_max : 0, sendMax: isCount(s.send_max) ? s.send_max : 0,
    owners: has ? [{ program: owner, fd }] : [],
    other: null, listener: null, queued: false, server: false, // join() finds these,
    wing: null, card: null, // and arrange() these
  }
  model.byKey.set(key, made)
  model.sockets.push(made)
}

// Finds for each socket its other end, its listener, and whether it waits in the accept queue.
function join(model) {
  const ends = new Map()
  const listeners = new Map()
  joinDatagrams(model)
  const pair = (from, to) => from.id * 2 ** 26 + to.id
  for (const s of model.sockets) {
    if (s.udp) continue
    if (s.peer.port >= 0) ends.set(pair(s.local, s.peer), s)
    else if (s.state === 'LISTEN') {
      const at = `${s.machine.name} ${isAny(s.local.host) ? '*' : s.local.host} ${s.local.port}`
      if (!listeners.has(at)) listeners.set(at, s)
    }
  }
  const known = new Map() // the listener at each endpoint, looked up once
  const listenerFor = (s) => {
    if (!known.has(s.local)) {
      const at = (host) => listeners.get(`${s.machine.name} ${host} ${s.local.port}`)
      known.set(s.local, at(s.local.host) ?? at('*') ?? null)
    }
    return known.get(s.local)
  }
  for (const s of model.sockets) {
    if (s.udp) continue
    if (s.peer.port < 0) {
      s.server = true
      continue
    }
    s.other = s.local.id === s.peer.id ? null : (ends.get(pair(s.peer, s.local)) ?? null)
    s.listener = listenerFor(s)
    // If we may not see who has the listener, we cannot know who has its connections either.
    s.queued = !s.owners.length && !!s.listener?.owners.length && (s.state === 'ESTABLISHED' || s.state === 'CLOSE_WAIT')
    // Without a listener the lower port is the server's: ephemeral ports are high ones.
    const here = s.other ? s.other.machine === s.machine && !listenerFor(s.other) : s.local.host === s.peer.host
    s.server = !!s.listener || (here && s.local.port < s.peer.port)
  }
}

// TCP's port 6666 and UDP's are two: neither has to do with the other. A UDP socket with a fixed peer
// leads to the one at that endpoint, which need not know it; the others lead nowhere.
function joinDatagrams(model) {
  const all = model.sockets.filter((s) => s.udp)
  for (const s of all) {
    s.server = s.local.port < (s.peer.port < 0 ? 32768 : s.peer.port) // ephemeral ports are high ones
    if (s.peer.port < 0) continue
    const there = all.filter((t) => t !== s && (t.peer.port < 0 ? isAt(t, s) : t.local.id === s.peer.id && t.peer.id === s.local.id))
    s.other = there.find((t) => t.peer.port >= 0) ?? there.find((t) => !isAny(t.local.host)) ?? there[0] ?? null
  }
}

// --- 3. What has changed, in words ----------------------------------------------------------------

// The kinds of change, in the order in which they are told, and what is said when there are many.
const CHANGES = {
  machine: (n) => `${n} machines have come or gone`,
  started: (n) => `${n} programs have started`,
  bound: (n) => `has bound ${n} more sockets`,
  listening: (n) => `is listening on ${n} more sockets`,
  connecting: (n) => `${n} more sockets are connecting`,
  connected: (n) => `has connected ${n} more sockets`,
  queued: (n) => `${n} more connections are in the accept queue`,
  accepted: (n) => `has accepted ${n} connections`,
  more: (n) => `there is more data in the buffers of ${n} sockets`,
  less: (n) => `there is less data in the buffers of ${n} sockets`,
  state: (n) => `${n} sockets have changed their state`,
  closed: (n) => `has closed ${n} sockets`,
  gone: (n) => `${n} sockets are gone`,
  ended: (n) => `${n} programs have ended`,
}
const TOLD = Object.keys(CHANGES)
// One of them is marked in the drawing: the first of these that there is.
const MARKED = 'accepted queued connected listening connecting bound state closed more less gone started ended machine'.split(' ')

const fdOf = (s) => (s.owners.length ? s.owners[0].fd : null)
const programOf = (s) => (s.owners.length ? s.owners[0].program.name : null)
const fdKey = (s) => (s.owners.length ? `${s.owners[0].program.key} ${s.owners[0].fd}` : '')
const arrow = (s) => `${s.local.text} -> ${s.peer.text}`

function changes(before, after) {
  const list = []
  const tell = (kind, machine, who, text, key) => list.push({ kind, machine: machine.name, who, text, key })
  const programs = (model) => new Map(model.machines.flatMap((m) => m.programs.map((p) => [p.key, [m, p]])))
  const [had, have] = [programs(before), programs(after)]
  const machines = (model) => new Set(model.machines.map((m) => m.name))
  const [oldNames, newNames] = [machines(before), machines(after)]
  for (const m of after.machines) if (!oldNames.has(m.name)) tell('machine', m, null, 'the machine is there now', null)
  for (const m of before.machines) if (!newNames.has(m.name)) tell('machine', m, null, 'the machine is gone', null)
  for (const [key, [m, p]] of have) if (!had.has(key)) tell('started', m, null, `${p.name} has started: pid ${p.pid}`, key)
  for (const [key, [m, p]] of had) if (!have.has(key)) tell('ended', m, null, `${p.name} has ended: pid ${p.pid}`, key)
  // One descriptor stays one socket while it goes from bound to listening, or to a connection.
  const byFd = new Map()
  for (const s of before.sockets) if (s.peer.port < 0 && s.state !== 'LISTEN') byFd.set(fdKey(s), s)
  const followed = new Set()
  for (const s of after.sockets) {
    let old = before.byKey.get(s.key)
    if (!old && byFd.size && s.owners.length) {
      const same = byFd.get(fdKey(s))
      if (same && !after.byKey.has(same.key)) old = same
    }
    if (old) followed.add(old)
    if (old && looksLike(old, s)) continue
    socketChange(old, s, (kind, who, text) => tell(kind, s.machine, who, text, s.key))
  }
  for (const s of before.sockets) {
    if (followed.has(s)) continue
    const who = programOf(s)
    const it = s.peer.port < 0 ? s.local.text : arrow(s)
    if (who && have.has(s.owners[0].program.key)) {
      tell('closed', s.machine, who, `${who} has closed fd ${fdOf(s)}, ${it}: the socket is gone`, s.key)
    } else tell('gone', s.machine, null, `${it} is gone; it was ${s.state}`, s.key)
  }
  return list.sort((a, b) => TOLD.indexOf(a.kind) - TOLD.indexOf(b.kind))
}

const looksLike = (a, b) =>
  a.key === b.key && a.state === b.state && a.recv === b.recv && a.send === b.send && a.owners.length === b.owners.length

// Tells what has happened to a socket; `old` is the same socket before, if it was there.
function socketChange(old, s, tell) {
  const [who, fd] = [programOf(s), fdOf(s)]
  const it = who ? `${who}, fd ${fd}` : arrow(s)
  const withFd = who ? `: fd ${fd}` : ''
  if (s.udp && !(old && old.peer.text === s.peer.text && old.local.text === s.local.text)) {
    const its = `${who ?? 'a program'} has a UDP socket, ${s.local.text}`
    if (s.peer.port < 0) tell('bound', who, `${its}${withFd}`)
    else tell('connected', who, `${its}, with the fixed peer ${s.peer.text}${withFd}`)
  }
  const isNew = !old || CONNECTING.has(old.state) || old.peer.port < 0
  const connecting = CONNECTING.has(s.state)
  if (s.udp) old ??= s
  else if (old?.state !== s.state || (old.queued && !s.queued) || old.local.text !== s.local.text) {
    if (s.state === 'LISTEN') tell('listening', who, `${who ?? 'a program'} is listening on ${s.local.text}${withFd}`)
    else if (s.peer.port < 0 && s.local.port >= 0 && old?.local.text !== s.local.text) {
      tell('bound', who, `${who ?? 'a program'} has bound ${s.local.text}${withFd}`)
    } else if (connecting && old?.state !== s.state) {
      if (s.state === 'SYN_RECV') tell('connecting', null, `${s.peer.text} is connecting to ${s.local.text}`)
      else tell('connecting', who, `${who ?? s.local.text} is connecting to ${s.peer.text}${withFd}`)
    } else if (s.queued && !old?.queued) {
      tell('queued', null, `${s.peer.text} is in the accept queue of ${s.local.text}: connected, not accepted yet`)
    } else if (who && s.listener && (!old || !old.owners.length)) {
      tell('accepted', who, `${who} has accepted ${s.peer.text}${withFd}`)
    } else if (s.state === 'ESTABLISHED' && isNew) {
      tell('connected', who, `${who ?? s.local.text} has connected to ${s.peer.text}${who ? `${withFd} is ${s.local.text}` : ''}`)
    }
  }
  if (!old) {
    const usual = s.state === 'ESTABLISHED' || connecting || s.queued || s.peer.port < 0
    if (!usual) tell('state', who, `${it} is ${s.state}`)
  } else if (old.owners.length && !s.owners.length) {
    tell('closed', programOf(old), `${programOf(old)} has closed fd ${fdOf(old)}; its kernel keeps ${arrow(s)}: ${s.state}`)
  } else if (old.state !== s.state && s.state !== 'LISTEN' && !connecting && !isNew) {
    tell('state', who, `${it} has gone from ${old.state} to ${s.state}`)
  }
  if (s.state === 'LISTEN') return // its Recv-Q is the length of the queue
  for (const [was, is, what] of [
    [old?.send ?? 0, s.send, 'output buffer (Send-Q)'],
    [old?.recv ?? 0, s.recv, 'input buffer (Recv-Q)'],
  ]) {
    if (is > was) tell('more', who, `${it}: ${count(is, 'byte')} in the ${what}${was ? `, up from ${was}` : ''}`)
    else if (is) {
      if (is < was) tell('less', who, `${it}: ${count(is, 'byte')} left in the ${what}, down from ${was}`)
    } else if (was) tell('less', who, `${it}: the ${what} is empty again`)
  }
}

// The lines for a list of changes; more than five of one kind are one line with their number.
function changeLines(list) {
  const kinds = new Map()
  for (const change of list) {
    const kind = `${change.kind} ${change.machine} ${change.who}`
    if (kinds.has(kind)) kinds.get(kind).push(change)
    else kinds.set(kind, [change])
  }
  return [...kinds.values()].flatMap((all) => {
    const { machine, who, kind } = all[0]
    if (all.length <= 5) return all.map((change) => `${short(machine)}: ${change.text}`)
    const said = CHANGES[kind](all.length)
    if (/^(has|is) /.test(said)) return [`${short(machine)}: ${who ?? 'a program'} ${said}`]
    return [`${short(machine)}: ${who ? `${who}: ` : ''}${said}`]
  })
}

// What has changed from one snapshot to the next, one line for each change:
// "A: 06-accept-one has accepted 192.168.0.102:51234: fd 4". No change gives no line.
export function difference(before, after) {
  return changeLines(changes(read(before), read(after)))
}

// --- 4. Places: where everything is, and that it stays there --------------------------------------

// The slide, from left to right: the wing at the left, the channel with the network, the wing at the
// right. On one machine both wings are its own, and between them is its loopback interface; else the
// left wing is the first machine (A), and the others are at the right, one below the other.
const WIDTH = 1280
const HEIGHT = 720
const EDGE = 8
const RAIL = 28 // between a machine's outer wall and its cards: the lines from programs to their fds
const CARD = 431 // an fd, any endpoint of IPv4 ("192.168.100.100:51234"), and the dot
const GAP = 30 // between card and door: a listener's waves
const DOOR = 104 // "51234", and some room at both sides
const FD = 46
const LINE = 31
const [TWO_LINES, THREE_LINES] = [80, 99] // heights of cards
const SPACE = 5 // at least, between two cards
const MANY = 12 // more sockets of one kind than this are one card with a number,
const MANY_OVER = 3 // and of those that no program has any more

const WINGS = [
  { side: -1, card: EDGE + RAIL, dot: EDGE + RAIL + CARD, door: EDGE + RAIL + CARD + GAP },
  { side: 1, card: WIDTH - EDGE - RAIL - CARD, dot: WIDTH - EDGE - RAIL - CARD, door: WIDTH - EDGE - RAIL - CARD - GAP - DOOR },
]
for (const wing of WINGS) wing.wall = wing.door + DOOR / 2

// Makes the wings for a model: where each machine is, and the
// columns and rows of its cards. `hidden` are the machines that have no room of their own.
function makeWings(model, slots, total) {
  const list = model.machines
  const a = list.findIndex((m) => m.name === 'A')
  const order = a > 0 ? [list[a], ...list.slice(0, a), ...list.slice(a + 1)] : list
  const wings = []
  const make = (key, machine, side, top, height, hidden = []) => {
    const compact = height < 300
    const programs = { top: top + (compact ? 42 : 46), height: compact ? 34 : 66 }
    const strip = { top: programs.top + programs.height + (compact ? 10 : 18), bottom: top + height - 8 }
    const first = strip.top + (compact ? 6 : 38)
    const room = strip.bottom - 4 - first
    // Cards have three lines where there is room for them, else two.
    const most = Math.max(0, Math.floor((room + SPACE) / (TWO_LINES + SPACE)))
    const some = Math.min(most, room > 400 ? slots : most)
    const pitch = Math.floor((room + SPACE) / some)
    const h = pitch >= THREE_LINES + SPACE ? THREE_LINES : TWO_LINES
    wings.push({ ...WINGS[side], key, machine, top, height, compact, programs, strip, first, h, pitch, slots: some, hidden })
  }
  if (order.length === 1) {
    make(`${order[0].name} server`, order[0], 0, EDGE, total - 2 * EDGE)
    make(`${order[0].name} client`, order[0], 1, EDGE, total - 2 * EDGE)
  } else if (order.length) {
    make(order[0].name, order[0], 0, EDGE, total - 2 * EDGE)
    const shown = order.slice(1, order.length > 4 ? 3 : 4)
    const rows = shown.length + (order.length > 4 ? 1 : 0)
    const height = Math.floor((total - 2 * EDGE - 10 * (rows - 1)) / rows)
    shown.forEach((m, i) => make(m.name, m, 1, EDGE + i * (height + 10), height))
    if (order.length > 4) {
      const rest = { name: `${order.length - 3} more machines`, addresses: [], programs: [] }
      make('more', rest, 1, EDGE + 2 * (height + 10), height, order.slice(3))
    }
  }
  return wings
}

// The layout of a model, given the one before: which wing, slot and colour everything has.
function arrange(model, before, slots, most, height) {
  const wings = makeWings(model, slots, height)
  const one = model.machines.length === 1
  const shape = wings.map((w) => `${w.key} ${w.top} ${w.h} ${w.pitch}`).join('|')
  const layout = { model, wings, shape, height, cards: [], places: new Map(), programs: new Map(), bound: new Map(), colors: new Map() }
  // Where the machines themselves have other places, nothing can stay.
  const old = before?.shape === shape ? before : { ...layout, model: { byKey: new Map() } }
  const wingOf = new Map()
  for (const w of wings) for (const m of w.hidden.length ? w.hidden : [w.machine]) if (!wingOf.has(m)) wingOf.set(m, w)
  for (const s of model.sockets) {
    const was = one && (old.model.byKey.get(s.key) ?? (old.bound.size ? old.bound.get(fdKey(s)) : null))
    s.wing = !one ? wingOf.get(s.machine) : wings[was ? was.wing.side > 0 ? 1 : 0 : s.server ? 0 : 1]
  }
  const cards = wings.map((wing) => gather(layout, wing, old))
  grow(layout, cards, old, most)
  wings.forEach((wing, i) => fillSlots(layout, wing, cards[i], old))
  // A descriptor that is only bound will be a listener or a connection, and keep its place.
  for (const s of model.sockets) if (s.peer.port < 0 && s.owners.length) layout.bound.set(fdKey(s), s)
  placePrograms(layout, old)
  giveColors(layout, before)
  return layout
}

// The cards that a wing would like to have: one for each socket, or one for many of a kind.
function gather(layout, wing, old) {
  const kinds = new Map()
  const names = new Map([[null, 0]])
  for (const s of layout.model.sockets) {
    if (s.wing !== wing) continue
    const name = programOf(s)
    if (!names.has(name)) names.set(name, names.size)
    // What makes a kind, as one number: with 20,000 sockets that is much quicker than a text.
    const state = STATES.indexOf(s.state) * 2 + s.queued
    const at = s.server ? s.local.id : -s.peer.id
    const kind = (at * 65536 + names.get(name)) * 32 + state
    const same = kinds.get(kind)
    if (same) same.push(s)
    else kinds.set(kind, [s])
  }
  const cards = []
  for (const sockets of kinds.values()) {
    const [s] = sockets
    const at = s.server ? `at ${s.local.text}` : `to ${s.peer.text}`
    const key = `kind ${wing.key} ${programOf(s) ?? '-'} ${at} ${s.state} ${s.queued}`
    // A kind that has become one card stays one until few are left: no flicker at the limit.
    const limit = isOver(s) ? MANY_OVER : MANY
    const many = sockets.length > (old.places.has(key) ? limit / 2 : limit)
    if (many) cards.push({ key, wing, sockets, many })
    else for (const one of sockets) cards.push({ key: one.key, wing, sockets: [one], many })
  }
  return cards
}

// Makes the drawing taller, as long as a wing has more cards than slots, or has them further down;
// but for three or more machines, whose boxes would have to move.
function grow(layout, cards, old, most) {
  const { wings } = layout
  if (wings.length !== 2) return
  const needed = cards.flat().map((card) => (old.places.get(card.key)?.slot ?? 0) + 1)
  const rows = needed.reduce((a, b) => Math.max(a, b), Math.max(...cards.map((list) => list.length)))
  const more = Math.min(most, rows) - wings[0].slots
  if (more <= 0) return
  layout.height += more * wings[0].pitch
  for (const wing of wings) {
    wing.slots += more
    wing.height += more * wing.pitch
    wing.strip.bottom += more * wing.pitch
  }
}

const hasSameDoor = (a, b) => a.local.port === b.local.port && a.udp === b.udp

// Gives each card of a wing a slot: the one it had, else a free one. What finds none is in the last
// slot, as a card with their number.
function fillSlots(layout, wing, cards, old) {
  const [left] = layout.wings
  const slots = new Array(wing.slots).fill(null)
  const waiting = []
  const take = (card, slot) => (slots[slot] = Object.assign(card, { slot }))
  for (const card of cards) {
    const [s] = card.sockets
    const was = old.places.get(card.key) ?? old.places.get(old.bound.get(fdKey(s))?.key)
    if (was && was.wing === wing.key && slots[was.slot] === null) take(card, was.slot)
    else waiting.push(card)
  }
  // Servers are first, port by port, the listener before its connections.
  const rank = ({ sockets: [s] }) => {
    const port = s.server ? s.local.port : 1e5
    return [port, s.state === 'LISTEN' ? 0 : s.udp ? 2 : 1, fdOf(s) ?? 1e9, s.key]
  }
  const ranks = new Map(waiting.map((card) => [card, rank(card)]))
  waiting.sort((a, b) => {
    const [one, two] = [ranks.get(a), ranks.get(b)]
    const i = one.findIndex((part, k) => part !== two[k])
    return i < 0 ? 0 : one[i] < two[i] ? -1 : 1
  })
  const beside = wing !== left && left.first === wing.first && left.pitch === wing.pitch
  const hasServer = cards.some((card) => card.sockets[0].server)
  const rest = []
  for (const card of waiting) {
    const [s] = card.sockets
    let slot = -1
    // At the right a client is beside its server's socket if it can, so that its line is straight.
    const other = s.other?.card
    if (other?.wing === left && beside && slots[other.slot] === null) slot = other.slot
    // A socket is below the others of its port if there is room, so that they have one door. What
    // is no server's comes from below, where a server is at the top.
    const last = slots.findLastIndex((c) => c && hasSameDoor(c.sockets[0], s) && s.local.port >= 0)
    if (slot < 0 && last >= 0) slot = slots.indexOf(null, last + 1)
    if (slot < 0) slot = hasServer && !s.server ? slots.lastIndexOf(null) : slots.indexOf(null)
    if (slot < 0) rest.push(card)
    else take(card, slot)
  }
  if (rest.length && wing.slots) {
    const sockets = [slots[wing.slots - 1], ...rest].flatMap((card) => card.sockets)
    take({ key: `rest ${wing.key}`, wing, sockets, many: true, rest: true }, wing.slots - 1)
  }
  for (const card of slots) {
    if (!card) continue
    card.y = wing.first + card.slot * wing.pitch
    card.lane = card.y + Math.round(wing.h * 0.62)
    card.over = card.sockets.every(isOver)
    layout.cards.push(card)
    layout.places.set(card.key, { wing: wing.key, slot: card.slot })
    for (const s of card.sockets) s.card = card
  }
}

// Decides which wing each program is in, and puts those of each wing in a row. More than four of
// one name are one box with their number.
function placePrograms(layout, old) {
  const { model, wings } = layout
  for (const machine of model.machines) {
    const mine = wings.filter((w) => w.machine === machine)
    if (!mine.length) continue
    const homes = new Map()
    for (const s of model.sockets) {
      if (s.machine !== machine) continue
      for (const o of s.owners) if (s.wing === mine[0] || !homes.has(o.program)) homes.set(o.program, s.wing)
    }
    const groups = new Map()
    for (const p of machine.programs) {
      const was = old.programs.get(p.key)
      // A program without a socket to show is a client to be, if there is a server.
      const idle = mine[mine.length > 1 && homes.size && ![...homes.values()].includes(mine[1]) ? 1 : 0]
      const home = was && (was.busy || !homes.has(p)) ? wings.find((w) => w.key === was.wing) : (homes.get(p) ?? idle)
      const kind = `${home.key} ${p.name}`
      if (!groups.has(kind)) groups.set(kind, { key: kind, wing: home, name: p.name, programs: [] })
      p.busy = homes.has(p)
      groups.get(kind).programs.push(p)
    }
    const boxes = [...groups.values()].flatMap((g) =>
      g.programs.length > 4 ? [g] : g.programs.map((p) => ({ ...g, key: p.key, programs: [p] }))
    )
    for (const wing of mine) placeRow(layout, wing, boxes.filter((b) => b.wing === wing), old)
  }
}

// Gives each box its place in the row: the one it had, else the first where there is room. What
// finds none is in a box with their number, at the right.
function placeRow(layout, wing, boxes, old) {
  const left = wing.side < 0 ? EDGE + 12 : wing.machine === layout.wings[0].machine ? WIDTH / 2 + 6 : wing.wall + 12
  const right = wing.side > 0 ? WIDTH - EDGE - 12 : layout.wings[1]?.machine === wing.machine ? WIDTH / 2 - 6 : wing.wall - 12
  const REST = 110
  const taken = []
  const apart = (x, width, b) => x + width + 8 <= b.x || b.x + b.width + 8 <= x
  const free = (x, width) => x >= left && x + width <= right && taken.every((b) => apart(x, width, b))
  const todo = []
  const put = (box, x) => taken.push(Object.assign(box, { x }))
  for (const box of boxes) {
    const [p] = box.programs
    box.second = box.programs.length > 1 ? `${box.programs.length} programs` : `pid ${p.pid}`
    const needed = Math.max(textWidth(fit(p.name, 300)), wing.compact ? 0 : textWidth(box.second))
    box.width = Math.min(right - left, Math.ceil(needed) + 18)
    const was = old.programs.get(box.key)
    if (was && was.wing === wing.key && was.x !== null && free(was.x, box.width)) put(box, was.x)
    else todo.push(box)
  }
  const rest = []
  for (const box of todo) {
    const starts = [left, ...taken.map((b) => b.x + b.width + 8)].sort((a, b) => a - b)
    const x = starts.find((start) => free(start, box.width))
    if (x === undefined) rest.push(box)
    else put(box, x)
  }
  let shown = taken
  if (rest.length) {
    const from = right - REST
    shown = taken.filter((b) => b.x + b.width + 8 <= from)
    rest.push(...taken.filter((b) => !shown.includes(b)))
    const programs = rest.flatMap((b) => b.programs)
    const more = { name: `+${programs.length}`, second: 'more', rest: true }
    shown.push({ key: `rest ${wing.key}`, wing, programs, ...more, x: from, width: REST })
  }
  for (const box of shown) {
    for (const key of [box.key, ...box.programs.map((p) => p.key)]) {
      layout.programs.set(key, { wing: wing.key, x: box.x, box, busy: box.programs.some((p) => p.busy) })
    }
  }
  wing.boxes = shown.sort((a, b) => a.x - b.x)
}

// A connection keeps its colour for as long as one of its sockets is there; a new one gets the
// first colour that is free. Two cards with many sockets that lead to each other share a colour.
function giveColors(layout, before) {
  const { colors, cards, model } = layout
  const keys = new Set(cards.map((card) => card.key))
  for (const [end, color] of before?.colors ?? []) if (keys.has(end) || model.byKey.has(end)) colors.set(end, color)
  const used = new Set(colors.values())
  for (const card of cards) {
    const [s] = card.sockets
    if (s.peer.port < 0) continue
    const partner = card.many && s.other?.card
    const other = s.other?.peer.port >= 0 ? s.other : s // (A UDP socket without a peer has no colour.)
    const ends = card.many ? [card.key, partner?.many ? partner.key : card.key] : [s.key, other.key]
    let color = colors.get(ends[0]) ?? colors.get(ends[1])
    for (let next = 0; color === undefined; next++) if (!used.has(next)) color = next
    used.add(color)
    for (const end of ends) colors.set(end, color)
    card.color = color
  }
}

// --- 5. The drawing -------------------------------------------------------------------------------

export const el = (name, attributes, ...children) => ({ name, attributes, children: children.flat().filter((c) => c !== null) })
export const rect = (x, y, width, height, className, more) => el('rect', { x, y, width, height, class: className, ...more })
export const path = (d, className, more) => el('path', { d, class: className, ...more })

// A text whose left end (or middle, or right end) is at x. Where a font may have any width, the
// browser is told how wide the text has to be.
export function text(x, y, className, string, anchor) {
  const held = ASCII.test(string) ? {} : { textLength: Math.floor(textWidth(string)), lengthAdjust: 'spacingAndGlyphs' }
  return el('text', { x, y, class: className, ...(anchor && { 'text-anchor': anchor }), ...held }, string)
}

const COLORS = 6
const SIGNS = 5
const colorClass = (color) => (color === undefined ? '' : ` c${color % COLORS}`)

// The sign in the middle of a connected socket's dot: a colour is never the only way to tell which
// two dots belong together. Colours repeat after 6, signs after 5, both after 30.
function sign(x, y, color) {
  const d = [
    null,
    `M${x - 7} ${y}H${x + 7}`,
    `M${x} ${y - 7}V${y + 7}`,
    `M${x - 5} ${y - 5}L${x + 5} ${y + 5}M${x + 5} ${y - 5}L${x - 5} ${y + 5}`,
    `M${x - 6} ${y + 4}L${x} ${y - 6}L${x + 6} ${y + 4}Z`,
  ][color % SIGNS]
  return d ? path(d, 'sign') : null
}

function drawMachine(wing, wings, sockets) {
  const both = wings.length > 1 && wings[0].machine === wings[1].machine
  if (both && wing.side > 0) return []
  const left = wing.side < 0 ? EDGE : wing.wall
  const right = wing.side > 0 || both ? WIDTH - EDGE : wing.wall
  const parts = [rect(left, wing.top, right - left, wing.height, 'machine', { rx: 12 })]
  const x = left + 14
  const room = right - left - 28
  const name = fit(short(wing.machine.name) || '?', room)
  parts.push(text(x, wing.top + 33, 'name', name))
  // As many of the addresses as fit; the last word is how many more there are.
  let at = x + textWidth(name) + 18
  // Those that a socket has are first.
  const inUse = new Set(sockets.filter((s) => s.machine === wing.machine).map((s) => s.local.host.replace(/[[\]]/g, '')))
  const all = [...wing.machine.addresses].sort((a, b) => inUse.has(b) - inUse.has(a))
  for (let i = 0; i < all.length; i++) {
    const more = i + 1 < all.length ? textWidth(` +${all.length - i - 1}`) + 18 : 0
    const fits = at + textWidth(all[i]) + more <= right - 14
    const shown = fits ? all[i] : `+${all.length - i}`
    if (at + textWidth(shown) > right - 14) break
    parts.push(text(at, wing.top + 33, 'quiet', shown))
    at += textWidth(shown) + 18
    if (!fits) break
  }
  return parts
}

// The strip of the kernel, and on one machine the slot that is its loopback interface.
function drawKernel(wing, wings) {
  const left = wing.side < 0 ? EDGE + 6 : wing.wall + 1
  const right = wing.side > 0 ? WIDTH - EDGE - 6 : wing.wall - 1
  const { top, bottom } = wing.strip
  const parts = [rect(left, top, right - left, bottom - top, 'kernel', { rx: 6 })]
  if (!wing.compact) {
    const y = top + 27
    if (wing.side < 0) {
      parts.push(text(wing.card + 6, y, 'quiet', 'fd'), text(wing.card + FD + 10, y, 'quiet', 'local, peer'))
      parts.push(text(wing.wall - 14, y, 'name', 'kernel', 'end'))
    } else {
      parts.push(text(wing.card + CARD - 6, y, 'quiet', 'fd', 'end'), text(wing.card + 18, y, 'quiet', 'local, peer'))
      parts.push(text(wing.card + CARD - FD - 12, y, 'name', 'kernel', 'end'))
    }
  }
  const [l, r] = wings
  if (wing === r && l.machine === r.machine) parts.push(rect(l.wall, top, r.wall - l.wall, bottom - top, 'slot', { rx: 6 }))
  return parts
}

// The doors of a wing: for each port one door behind all the cards that have it, as tall as they are.
function drawDoors(wing, cards) {
  const doors = []
  for (const card of cards.filter((c) => c.wing === wing).sort((a, b) => a.slot - b.slot)) {
    const [first] = card.sockets
    const { port } = first.local
    const same = card.sockets.every((s) => hasSameDoor(s, first))
    if (same && port < 0) continue
    const last = doors.at(-1)
    if (same && last?.port === port && hasSameDoor(last.cards[0].sockets[0], first)) last.cards.push(card)
    else doors.push({ port: same ? port : 'ports', cards: [card] })
  }
  return doors.map(({ port, cards: behind }) => {
    const top = behind[0].y + 1
    const height = Math.max(behind.at(-1).lane + 18 - top, 40)
    return el(
      'g',
      { class: 'door', 'data-machine': clean(wing.machine.name), 'data-port': port },
      rect(wing.door, top, DOOR, height, 'frame', { rx: 6 }),
      rect(wing.door + 5, top + 34, DOOR - 10, height - 39, 'opening', { rx: 3 }),
      text(wing.door + DOOR / 2, top + 28, 'port', String(port), 'middle')
    )
  })
}

// The lines. A connection goes from its card straight through the door, through the channel, and
// straight through the other door to the other card.
function drawLines(layout) {
  const parts = []
  const listeners = layout.model.sockets.filter((s) => s.state === 'LISTEN')
  const drawn = new Set()
  const lanes = new Map() // how many lines have come to a card so far
  const outside = (wing) => (wing.side < 0 ? wing.door + DOOR : wing.door)
  // Lines of a card with many sockets, or with many senders of datagrams, are side by side: none hides
  // another.
  const lane = (card) => {
    if (!card.many && !(card.sockets[0].udp && card.sockets[0].peer.port < 0)) return card.lane
    const n = lanes.get(card) ?? 0
    lanes.set(card, n + 1)
    return card.lane + [0, -8, 8, -15, 15][n % 5]
  }
  layout.cards.forEach((card, i) => {
    const { wing } = card
    const x = outside(wing)
    const out = -wing.side // the way to the channel
    for (const s of card.sockets) {
      const other = s.other?.card
      if (other === card) continue
      const k = other ? layout.cards.indexOf(other) : s.peer.port < 0 ? 998 : 999
      const pair = Math.min(i, k) * 1000 + Math.max(i, k) // one line from card to card
      if (drawn.has(pair) || (s.udp && s.peer.port >= 0 && !other)) continue
      drawn.add(pair)
      if (s.peer.port < 0) {
        const from = wing.dot + out * (s.state === 'LISTEN' ? 34 : 14)
        const tied = s.local.port >= 0 && card.sockets.every((t) => t.peer.port < 0)
        if (tied) parts.push(path(`M${from} ${card.lane}H${x - out * 8}`, 'tie'))
        continue
      }
      const both = card.many && other?.many
      const y = both ? card.lane : lane(card)
      let kind = 'line'
      let d = `M${wing.dot} ${y}H${x}`
      if (other) {
        const there = outside(other.wing)
        const to = both ? other.lane : lane(other)
        const bend = other.wing.side === wing.side ? x + out * 66 : (x + there) / 2
        d += `C${bend} ${y} ${bend} ${to} ${there} ${to}H${other.wing.dot}`
        if (CONNECTING.has(s.state) && CONNECTING.has(s.other.state)) kind = 'line connecting'
        if (card.over && other.over) kind = 'line over' // the kernels of both still have it
      } else if (s.state === 'SYN_SENT') {
        // It knocks at a door, and has no other end yet.
        kind = 'line connecting'
        const door = listeners.find((l) => isAt(l, s))?.card
        if (door && door.wing !== wing) {
          const there = outside(door.wing)
          d += `C${(x + there) / 2} ${y} ${(x + there) / 2} ${door.lane + 12} ${there} ${door.lane + 12}`
        } else d += `h${out * 44}`
      } else if (card.over && (s.state === 'TIME_WAIT' || s.state === 'CLOSE')) {
        kind = 'line over' // the other end is gone
        d += `h${out * 6}`
      } else {
        d += `h${out * 58}m${out * -13} -10l${out * 13} 10l${out * -13} 10` // to a machine that is not drawn
      }
      const color = kind === 'line over' ? '' : colorClass(card.many && other && !other.many ? other.color : card.color)
      if (kind === 'line') parts.push(path(d, both ? 'under wide' : 'under'))
      const ends = card.many ? {} : { 'data-local': s.local.text, 'data-peer': s.peer.text }
      // No connection: single datagrams.
      if (s.udp) Object.assign(ends, { 'stroke-dasharray': '1 11', 'stroke-linecap': 'round' })
      parts.push(path(d, `${kind}${both ? ' wide' : ''}${color}`, ends))
    }
  })
  return parts
}
// Whether a listener is at a socket's peer endpoint. One that listens on all addresses is, if its
// machine has the address.
function isAt({ local, machine }, { peer, machine: from }) {
  if (local.id === peer.id) return true
  if (!isAny(local.host) || local.port !== peer.port) return false
  return isLoopback(peer.host) ? machine === from : machine.addresses.includes(peer.host.replace(/[[\]]/g, ''))
}

// From each socket in an accept queue to its listener, at the outer side of their cards.
function drawQueues(layout) {
  return layout.cards.flatMap((card) => {
    const to = card.sockets[0].queued && card.sockets[0].listener.card
    if (!to || to === card || to.wing !== card.wing) return []
    const { side, card: x } = card.wing
    const edge = side < 0 ? x : x + CARD
    const [from, end] = [card.y + card.wing.h - 20, to.y + to.wing.h - 20]
    const head = `m${side * 11} -8l${-side * 11} 8l${side * 11} 8`
    return [path(`M${edge} ${from}H${edge + side * 20}V${end}H${edge + side * 4}${head}`, 'queue')]
  })
}

// One bar: an outline with its name and number, filled as far as the buffer is. Where its size is
// not known, each doubling of the number fills as much as the one before: 4 MB is a full bar.
function bar(x, y, width, label, n, max, color) {
  const full = n === 0 ? 0 : Math.min(1, max ? n / max : Math.log2(n + 1) / 22)
  const inside = fitNumber(label, n, width - 8)
  const parts = [rect(x, y, width, LINE - 3, 'bar', { rx: 3 })]
  if (n) parts.push(rect(x + 1.5, y + 1.5, Math.max(4, Math.round((width - 3) * full)), LINE - 6, `fill${colorClass(color) || ' quiet'}`))
  if (inside) parts.push(text(x + 5, y + 22, n ? 'number' : 'quiet', inside))
  return parts
}
function fitNumber(label, n, width) {
  const rounded = n >= 1e6 ? `${(n / 1e6).toFixed(1)}M` : n >= 1e3 ? `${Math.round(n / 1e3)}k` : String(n)
  const choices = n ? [`${label} ${n}`, String(n), rounded] : [label]
  return choices.find((choice) => textWidth(choice) <= width) ?? ''
}

// What the third line of a card says, if anything: the state, unless both ends are ESTABLISHED.
function status(s) {
  if (s.state === 'LISTEN') return s.recv ? `LISTEN, queue ${s.recv}` : 'LISTEN'
  if (s.queued && s.state === 'ESTABLISHED') return 'in queue'
  if (s.udp) return s.state
  if (s.peer.port < 0) return s.local.port < 0 ? 'not bound' : 'bound'
  const same = s.state === 'ESTABLISHED' && (!s.other || s.other.state === 'ESTABLISHED')
  return same ? '' : s.state
}

// The bars of both buffers, side by side. An empty one leaves its room to the other one.
function drawBars(s, x, y, width, color) {
  const small = Math.ceil(textWidth('out')) + 9
  const out = s.send && !s.recv ? width - small : s.recv && !s.send ? small : Math.floor(width / 2)
  return [
    ...bar(x, y, out, 'out', s.send, s.sendMax, color),
    ...bar(x + out + 6, y, width - out, 'in', s.recv, s.recvMax, color),
  ]
}

function drawCard(layout, card, mark) {
  const { wing, y, over, many } = card
  const [s] = card.sockets
  const outer = wing.side < 0 // the outer side, where the fd is, is at the left
  const color = over || s.peer.port < 0 ? '' : colorClass(card.color)
  const data = many
    ? { 'data-count': card.sockets.length }
    : {
        'data-fd': fdOf(s) ?? '', 'data-local': s.local.text, 'data-peer': s.peer.text,
        'data-state': s.state, 'data-recv-q': s.recv, 'data-send-q': s.send,
      }
  const kind = over ? 'card over' : s.queued ? 'card queued' : 'card'
  const group = el('g', { class: kind, 'data-machine': clean(s.machine.name), ...data })
  const add = (...parts) => group.children.push(...parts.flat().filter(Boolean))
  if (!many) add(el('title', {}, sentence(s)))

  // A lower card that has something to say in a third line grows into the next slot, if that is
  // free; else the third line takes the place of the local endpoint, whose port is at the door.
  const third = many ? '' : status(s)
  const wanted = !many && (third || s.recv > 0 || s.send > 0)
  const roomy = wing.h === THREE_LINES
  const below = card.slot + 1 < wing.slots && !layout.cards.some((c) => c.wing === wing && c.slot === card.slot + 1)
  const grows = !roomy && wanted && below
  const tight = !roomy && wanted && !grows
  const height = grows ? THREE_LINES : wing.h
  if (many) add(rect(wing.card + (outer ? -5 : 5), y + 4, CARD, height - 3, 'body behind', { rx: 7 }))
  add(rect(wing.card, y, CARD, many ? height - 3 : height, `body${color}`, { rx: 7 }))

  // The fd's cell.
  const fd = many ? '' : String(fdOf(s) ?? '\u2013')
  const cell = many ? 6 : Math.max(FD, Math.ceil(textWidth(fd)) + 10)
  if (!many) {
    const cellX = outer ? wing.card : wing.card + CARD - cell
    add(path(`M${outer ? cellX + cell : cellX} ${y + 8}V${y + height - 8}`, 'rule'))
    add(text(cellX + cell / 2, y + 38, fdOf(s) === null ? 'quiet' : 'name', fit(fd, cell), 'middle'))
  }

  // Its lines.
  const x = outer ? wing.card + cell + 8 : wing.card + 18
  const room = CARD - cell - 26
  const line = (row, className, string, keepEnd) => add(text(x, y + 27 + row * LINE, className, fit(string, room, keepEnd)))
  // Of an endpoint that is cut, the port stays, and of IPv6 the end of the address.
  const port = (e) => (e.port < 0 ? 0 : String(e.port).length + (e.host[0] === '[' ? 6 : 2))
  if (many) {
    const states = new Set(card.sockets.map((t) => (t.queued ? 'in queue' : t.state)))
    const state = states.size === 1 ? [...states][0] : 'different states'
    const at = s.server ? s.local : s.peer
    const n = card.sockets.length
    line(0, 'name', card.rest && wing.slots > 1 ? `${n} more sockets` : count(n, 'socket'))
    if (!card.rest) line(1, 'address', `${s.server ? 'local' : 'peer'} ${at.text}`, port(at))
    if (roomy || card.rest) line(card.rest ? 1 : 2, 'state', state)
  } else {
    if (!tight) line(0, 'address', s.local.text === 'none' ? 'no address' : s.local.text, port(s.local))
    // A listener that has two lines shows where it listens: it has no peer.
    if (tight && s.state === 'LISTEN') line(0, 'address', s.local.text, port(s.local))
    else line(tight ? 0 : 1, `peer${color}`, s.peer.text, port(s.peer))
    const row = tight ? 1 : 2
    if (roomy || grows || tight) {
      if (third) line(row, 'state', third)
      const used = third ? Math.ceil(textWidth(third)) + 8 : 0
      const left = Math.floor(room - used - 6)
      if (HAS_BUFFERS.has(s.state)) add(drawBars(s, x + used, y + 5 + row * LINE, left, card.color))
    } else if (HAS_BUFFERS.has(s.state)) {
      const half = Math.floor(room / 2) - 4
      add(rect(x, y + 67, half, 7, 'bar', { rx: 2 }), rect(x + half + 8, y + 67, half, 7, 'bar', { rx: 2 }))
    }
  }

  if (mark === 'peer' && !many) {
    const row = tight ? 0 : 1
    add(rect(x - 5, y + 3 + row * LINE, Math.ceil(textWidth(s.peer.text)) + 10, LINE, 'mark', { rx: 4 }))
  } else if (mark) add(drawMark(wing.card - 4, y - 3, CARD + 8, height + 6, outer))

  // The dot, towards the door.
  const [dx, dy] = [wing.dot, card.lane]
  const all = (is) => card.sockets.every(is)
  if (all((t) => t.udp)) add(drawEnvelope(dx, dy, `ring${color}`))
  else if (all((t) => t.state === 'LISTEN')) {
    const o = -wing.side
    add(el('circle', { cx: dx, cy: dy, r: 12, class: 'ring' }))
    add(path([17, 24].map((r, i) => `M${dx + o * r} ${dy - 8 - 5 * i}q${o * 8} ${8 + 5 * i} 0 ${16 + 10 * i}`).join(''), 'wave'))
  } else if (all((t) => t.peer.port < 0)) add(el('circle', { cx: dx, cy: dy, r: 10, class: 'ring' }))
  else if (all((t) => CONNECTING.has(t.state))) add(el('circle', { cx: dx, cy: dy, r: 12, class: `ring connecting${color}` }))
  else {
    // The frame of a mark does not cut the line.
    if (mark && mark !== 'peer' && color) add(path(`M${dx} ${dy}h${-wing.side * 12}`, `stub${color}`))
    add(el('circle', { cx: dx, cy: dy, r: 13, class: `dot${color}` }), color && sign(dx, dy, card.color))
  }
  return group
}

// A socket for datagrams: they are messages.
const drawEnvelope = (x, y, className) => [
  rect(x - 15, y - 11, 30, 22, className, { rx: 2 }),
  path(`M${x - 14} ${y - 10}L${x} ${y + 3}L${x + 14} ${y - 10}`, className),
]

// What marks the one thing that has changed: a frame with a flag at its outer corner.
function drawMark(x, y, width, height, atLeft) {
  const corner = atLeft ? `M${x} ${y + 26}V${y}h26Z` : `M${x + width} ${y + 26}V${y}h-26Z`
  return [rect(x, y, width, height, 'mark', { rx: 4 }), path(corner, 'flag')]
}

function drawPrograms(wing, marked) {
  const { top, height } = wing.programs
  return (wing.boxes ?? []).map((box) => {
    const { x, width, programs } = box
    const pids = programs.slice(0, 20).map((p) => p.pid)
    return el(
      'g',
      { class: 'program', 'data-machine': clean(wing.machine.name), 'data-pids': pids.join(' ') },
      programs.length > 1 ? rect(x + 5, top + 4, width, height - 2, 'body behind', { rx: 7 }) : null,
      rect(x, top, width, height, 'body', { rx: 7 }),
      text(x + 9, top + (wing.compact ? 26 : 27), 'name', fit(box.name, width - 18)),
      wing.compact ? null : text(x + 9, top + 56, 'quiet', fit(box.second, width - 18)),
      marked && programs.some((p) => p.key === marked) ? drawMark(x - 4, top - 4, width + 8, height + 8, true) : null
    )
  })
}

// A program reaches its sockets by fd: a line from each program to the fds in its cards.
function drawRails(layout) {
  const parts = []
  for (const wing of layout.wings) {
    const rails = new Map()
    for (const card of layout.cards.filter((c) => c.wing === wing)) {
      const owners = card.sockets.slice(0, 1000).flatMap((s) => s.owners)
      for (const box of new Set(owners.map((o) => layout.programs.get(o.program.key)?.box))) {
        if (box) rails.set(box, [...(rails.get(box) ?? []), card.y + 28])
      }
    }
    const boxes = [...rails.keys()].sort((a, b) => a.x - b.x)
    boxes.forEach((box, i) => {
      const k = Math.min(i, 3)
      const edge = wing.side < 0 ? wing.card : wing.card + CARD
      const outer = edge + wing.side * (8 + 6 * k)
      const bottom = box.wing.programs.top + box.wing.programs.height
      const y = bottom + (wing.compact ? 8 - 2 * k : 14 - 4 * k)
      const from = Math.round(box.x + box.width / 2) + (box.wing === wing ? 0 : 12)
      const ends = rails.get(box)
      const branches = ends.map((end) => `M${outer} ${end}H${edge}`).join('')
      parts.push(path(`M${from} ${bottom}V${y}H${outer}V${Math.max(...ends)}${branches}`, 'rail'))
    })
  }
  return parts
}

// Where a socket was that is gone: the outline of its card.
function drawGhost(layout, before, key) {
  const was = before?.shape === layout.shape && before.places.get(key)
  const wing = was && layout.wings.find((w) => w.key === was.wing)
  if (!wing || layout.cards.some((c) => c.wing === wing && c.slot === was.slot)) return []
  const y = wing.first + was.slot * wing.pitch
  return [rect(wing.card, y, CARD, wing.h, 'mark ghost', { rx: 7 })]
}

// --- 6. The same in words -------------------------------------------------------------------------

function sentence(s) {
  const what =
    s.udp ? `for datagrams (UDP)${s.peer.port < 0 ? '' : ', with this peer alone'}`
    : s.state === 'LISTEN' ? `listening, ${count(s.recv, 'connection')} in the accept queue`
    : s.queued ? `in the accept queue: connected, not accepted yet (${s.state})`
    : s.peer.port < 0 ? (s.local.port < 0 ? 'not bound' : 'bound')
    : CONNECTING.has(s.state) ? `being connected (${s.state})`
    : s.state === 'ESTABLISHED' ? 'connected (ESTABLISHED)'
    : s.state
  const who = s.owners.length ? s.owners.map((o) => `fd ${o.fd} of ${o.program.name}`).join(', ') : 'a socket that no program has'
  const queues = s.state === 'LISTEN' ? '' : (s.send ? `, Send-Q ${s.send}` : '') + (s.recv ? `, Recv-Q ${s.recv}` : '')
  return `${who}: local ${s.local.text}, peer ${s.peer.text}, ${what}${queues}`
}

// One line for each machine, program and card, and what has changed.
function inWords(layout, told) {
  const lines = []
  for (const m of layout.model.machines) {
    const name = short(m.name)
    lines.push(`${name}: machine with ${m.addresses.slice(0, 8).join(', ') || 'an address that is not known'}`)
    const boxes = new Set(m.programs.map((p) => layout.programs.get(p.key)?.box).filter(Boolean))
    for (const box of boxes) {
      lines.push(`${name}: ${box.rest ? count(box.programs.length, 'more program') : `program ${box.name}, ${box.second}`}`)
    }
    for (const card of layout.cards) {
      const mine = card.sockets.filter((s) => s.machine === m)
      if (!mine.length) continue
      if (!card.many) lines.push(`${name}: ${sentence(mine[0])}`)
      else if (card.rest) lines.push(`${name}: ${count(mine.length, 'more socket')}`)
      else {
        const [s] = mine
        const at = s.server ? `at ${s.local.text}` : `with the peer ${s.peer.text}`
        lines.push(`${name}: ${mine.length} sockets ${at}, ${s.state}${s.queued ? ', in the accept queue' : ''}`)
      }
    }
  }
  if (!lines.length) lines.push('The snapshot lists no machines.')
  return [...lines, ...told.map((line) => `Changed: ${line}`)]
}

// --- 7. From a snapshot to an SVG -----------------------------------------------------------------

export function draw(snapshot, before = null, options = {}) {
  const model = read(snapshot)
  const height = Math.max(440, Math.floor(options.height ?? HEIGHT) || HEIGHT)
  const slots = Math.max(1, Math.floor(options.slots ?? 5) || 5)
  const layout = arrange(model, before, slots, options.most ?? 0, height)
  const list = before ? changes(before.model, model) : []
  const told = changeLines(list)
  const wanted = Array.isArray(options.mark) ? options.mark : []
  const markOf = (card) => {
    if (card === markedCard) return 'card'
    const [s] = card.sockets
    const mark = wanted.find((m) => m.machine === s.machine.name && (m.fd ?? null) === fdOf(s))
    return mark ? (mark.part ?? 'card') : null
  }
  const chosen = options.mark === false || wanted.length ? null : MARKED.map((kind) => list.find((c) => c.kind === kind)).find(Boolean)
  const markedCard = (chosen && model.byKey.get(chosen.key)?.card) ?? null
  const { wings } = layout
  const id = clean(options.id || 'picture')
  const names = model.machines.slice(0, 6).map((m) => short(m.name))
  const title = clean(options.title || `${model.sockets.some((s) => s.udp) ? 'TCP and UDP' : 'TCP'} sockets of ${names.join(', ') || 'an empty snapshot'}`)
  const words = inWords(layout, told)
  const doors = wings.map((wing) => drawDoors(wing, layout.cards))
  const lone = wings.length === 2 && wings[0].machine === wings[1].machine
  const theme = options.theme === 'dark' || options.theme === 'light' ? { 'data-theme': options.theme } : {}
  const tree = el(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg', class: 'picture', ...theme, viewBox: `0 0 ${WIDTH} ${layout.height}`, role: 'img',
      'aria-labelledby': `${id}-title ${id}-desc`, 'font-size': FONT_SIZE, 'font-family': FONT,
    },
    el('title', { id: `${id}-title` }, title),
    el('desc', { id: `${id}-desc` }, words.join('\n')),
    options.standalone ? el('style', {}, CSS) : null,
    rect(0, 0, WIDTH, layout.height, 'page'),
    wings.flatMap((wing) => drawMachine(wing, wings, model.sockets)),
    options.kernel === false ? [] : wings.flatMap((wing) => drawKernel(wing, wings)),
    wings.length ? text(WIDTH / 2, lone ? wings[0].strip.top + 28 : 34, 'quiet', lone ? 'lo' : 'network', 'middle') : null,
    drawRails(layout),
    doors,
    drawQueues(layout),
    drawLines(layout),
    wings.flatMap((wing) => drawPrograms(wing, markedCard ? null : chosen?.key)),
    layout.cards.map((card) => drawCard(layout, card, markOf(card))),
    chosen && !markedCard ? drawGhost(layout, before, chosen.key) : null
  )
  const marked = chosen ? `${short(chosen.machine)}: ${chosen.text}` : null
  // The text is made when somebody asks for it: a page that shows the drawing needs the tree only.
  let svg = null
  return { get svg() { return (svg ??= `${serialize(tree)}\n`) }, words, layout, tree, marked, changes: told }
}

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escape = (value) => String(value).replace(/[&<>"']/g, (c) => ESCAPES[c])

export function serialize(node) {
  if (typeof node === 'string') return escape(node)
  const attributes = Object.entries(node.attributes).map(([name, value]) => ` ${name}="${escape(value)}"`).join('')
  if (!node.children.length) return `<${node.name}${attributes}/>`
  return `<${node.name}${attributes}>${node.children.flat(2).map(serialize).join('')}</${node.name}>`
}

// The drawing as DOM nodes, for a page: nothing is parsed.
export function toNodes(tree, document) {
  if (typeof tree === 'string') return document.createTextNode(tree)
  const node = document.createElementNS('http://www.w3.org/2000/svg', tree.name)
  for (const [name, value] of Object.entries(tree.attributes)) if (name !== 'xmlns') node.setAttribute(name, value)
  for (const child of tree.children.flat(2)) node.appendChild(toNodes(child, document))
  return node
}

// --- 8. Colours -----------------------------------------------------------------------------------

// The colours of connections are near those of Okabe and Ito, moved until people with any kind of
// colour blindness can tell each two of them apart, and each has a contrast of at least 4.5 to 1 to
// a card (endpoints are written in them) and of 3 to 1 to all that a line crosses.
export const PALETTE = {
  light: {
    page: '#ffffff', machine: '#e9f0f7', kernel: '#d9e4ef', card: '#ffffff', over: '#e4e7ea',
    ink: '#16222e', quiet: '#45535f', border: '#35506b', frame: '#fbe3b8', opening: '#fff6e3', door: '#6b4300', mark: '#c2006b',
    connections: ['#0776d5', '#c15300', '#005b41', '#a13c86', '#4d3b01', '#101646'],
  },
  dark: {
    page: '#0d141b', machine: '#18232e', kernel: '#22303d', card: '#0f1820', over: '#2b343c',
    ink: '#eef3f7', quiet: '#b3c0cb', border: '#8fa9c2', frame: '#5a3f0c', opening: '#2c2008', door: '#e8b75a', mark: '#ff7ac0',
    connections: ['#009ae9', '#ea6f37', '#89ffb4', '#cd7798', '#eed400', '#def6ff'],
  },
}

const variables = (theme) =>
  Object.entries(PALETTE[theme])
    .map(([name, value]) => (Array.isArray(value) ? value.map((c, i) => `--c${i}:${c}`).join(';') : `--${name}:${value}`))
    .join(';')

const ofColor = (i) =>
  `.picture .line.c${i},.picture .stub.c${i},.picture .body.c${i},.picture .ring.c${i}{stroke:var(--c${i})}` +
  `.picture .body.c${i}{stroke-width:4}` +
  `.picture .dot.c${i},.picture .fill.c${i},.picture .peer.c${i}{fill:var(--c${i})}`

// Light and dark as the system is set, or as the attribute data-theme of the SVG or of anything
// around it says.
export const CSS = `.picture{${variables('light')}}
@media (prefers-color-scheme:dark){.picture{${variables('dark')}}}
.picture[data-theme="light"],[data-theme="light"] .picture{${variables('light')}}
.picture[data-theme="dark"],[data-theme="dark"] .picture{${variables('dark')}}
.picture text{fill:var(--ink);white-space:pre}
.picture .name,.picture .state,.picture .port{font-weight:bold}
.picture .quiet{fill:var(--quiet)}
.picture .page{fill:var(--page)}
.picture .machine{fill:var(--machine);stroke:var(--border);stroke-width:3}
.picture .kernel{fill:var(--kernel)}
.picture .slot{fill:var(--page);stroke:var(--border);stroke-width:3}
.picture .body{fill:var(--card);stroke:var(--border);stroke-width:2.5}
.picture .over .body{fill:var(--over);stroke:var(--quiet)}
.picture .over text,.picture .over .peer{fill:var(--quiet)}
.picture .over .number{fill:var(--ink)}
.picture .queue{fill:none;stroke:var(--ink);stroke-width:3;stroke-dasharray:7 5}
.picture .queued .body{stroke-dasharray:9 6}
.picture .rule{stroke:var(--quiet);stroke-width:1.5}
.picture .rail{fill:none;stroke:var(--ink);stroke-width:2.5}
.picture .frame{fill:var(--frame);stroke:var(--door);stroke-width:3}
.picture .opening{fill:var(--opening)}
.picture .tie{fill:none;stroke:var(--ink);stroke-width:3.5;stroke-dasharray:2 7;stroke-linecap:round}
.picture .line,.picture .stub,.picture .under{fill:none;stroke-width:6}
.picture .under{stroke:var(--page);stroke-width:11}
.picture .wide{stroke-width:14}
.picture .under.wide{stroke-width:19}
.picture .line.connecting{stroke-dasharray:12 8}
.picture .line.over{stroke:var(--quiet);stroke-width:4;stroke-dasharray:4 6}
.picture .ring{fill:var(--card);stroke:var(--ink);stroke-width:4}
.picture .ring.connecting{stroke-dasharray:6 5}
.picture .wave{fill:none;stroke:var(--ink);stroke-width:3;stroke-linecap:round}
.picture .dot{fill:var(--quiet)}
.picture .sign{fill:none;stroke:var(--card);stroke-width:3.5}
.picture .bar{fill:none;stroke:var(--quiet);stroke-width:1.5}
.picture .fill{fill-opacity:.3}
.picture .mark{fill:none;stroke:var(--mark);stroke-width:6}
.picture .ghost{stroke-dasharray:14 9}
.picture .flag{fill:var(--mark)}
${PALETTE.light.connections.map((_, i) => ofColor(i)).join('\n')}
`
