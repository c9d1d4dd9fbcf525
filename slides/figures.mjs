#!/usr/bin/env node
// slides/figures.mjs [--check]: makes the figures of the deck and of the pages, slides/figures/*.svg,
// from slides/figures/*.json. --check writes nothing, and names each figure that is stale.
//
// A file of JSON is one of two things:
//   frames    of machines, programs and sockets: snapshots, which common/picture.js draws. Each frame
//             is drawn after the one before it, so that everything stays where it was. A frame is
//             { figure, title, source, snapshot, mark }; `source` says where its snapshot comes from:
//             "recorded" (slides/figures/record has asked the kernel) or "described" (by hand, and
//             `why` says why nothing could be recorded).
//   drawing   the name of a function below, and what it needs: for what no socket shows.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'

// Some versions of node take a file for a module only if its name ends in .mjs; a browser does not.
const picture = readFileSync(new URL('../common/picture.js', import.meta.url)).toString('base64')
const { CSS, FONT_SIZE, draw, el, path, rect, serialize, text } = await import(`data:text/javascript;base64,${picture}`)

const folder = new URL('figures/', import.meta.url)
const WIDTH = 1280

// The CSS of all figures: that of common/picture.js, and what the drawings here have besides.
export const FIGURES_CSS = `${CSS}.picture .fill.solid{fill-opacity:1}
.picture .warn{fill:var(--mark);font-weight:bold}
.picture .stop{fill:none;stroke:var(--mark);stroke-width:6}
.picture .arrow{fill:none;stroke:var(--ink);stroke-width:4}
.picture .quietly{stroke:var(--quiet);stroke-dasharray:8 6}
.picture .lit{fill:var(--opening);stroke:var(--door);stroke-width:3}
.picture .head{fill:var(--ink)}
`

// --- The drawings: each returns the parts of an SVG ------------------------------------------------

const name = (x, y, string, anchor) => text(x, y, 'name', string, anchor)

// An arrow from one point to another, with its head.
function arrow(x1, y1, x2, y2, className = 'arrow') {
  const length = Math.hypot(x2 - x1, y2 - y1)
  const [dx, dy] = [((x2 - x1) / length) * 18, ((y2 - y1) / length) * 18]
  const at = (side) => `${Math.round(x2 - dx - side * dy * 0.5)} ${Math.round(y2 - dy + side * dx * 0.5)}`
  return [path(`M${x1} ${y1}L${x2} ${y2}`, className), path(`M${x2} ${y2}L${at(1)}L${at(-1)}Z`, 'head')]
}

// Two lifelines, time goes down: bars with what each side is in, packets between them, calls outside.
// Times are rows. A call may last: `to` is when it returns, and `returns` says what.
// `listener`: the left side has a second bar beside its own, for the socket that listens.
function lifelines({ left, right, rows, bars, packets = [], calls, listener = false }, height) {
  const BAR = 210
  const top = 56
  const y = (t) => Math.round(top + (t * (height - top - 12)) / rows)
  const side = {
    left: { x: listener ? 390 : 330, width: BAR, out: -1, title: left },
    right: { x: listener ? 790 : 740, width: BAR, out: 1, title: right },
    listener: { x: 250, width: 126, out: -1, title: '' },
  }
  side.left.edge = side.left.x + BAR
  side.right.edge = side.right.x
  const parts = []
  for (const s of [side.left, side.right]) {
    parts.push(name(s.x + (listener && s === side.left ? 36 : BAR / 2), 34, s.title, 'middle'))
    if (!listener || s === side.right) parts.push(path(`M${s.x + BAR / 2} ${top}V${height - 8}`, 'tie'))
  }
  for (const bar of bars) {
    const { x, width } = side[bar.side]
    parts.push(rect(x, y(bar.from), width, y(bar.to) - y(bar.from) - 2, bar.lit ? 'lit' : bar.over ? 'body behind' : 'body', { rx: 6 }))
    parts.push(text(x + width / 2, (y(bar.from) + y(bar.to)) / 2 + 9, bar.over ? 'quiet' : 'state', bar.text, 'middle'))
    if (bar.above) parts.push(name(x + width / 2, y(bar.from) + (bar.from ? -12 : 36), bar.above, 'middle'))
  }
  for (const p of packets) {
    const [from, to] = p.from === 'left' ? [side.left.edge, side.right.edge] : [side.right.edge, side.left.edge]
    parts.push(...arrow(from, y(p.at), to, y(p.to)))
    parts.push(name((from + to) / 2, Math.round((y(p.at) + y(p.to)) / 2 - 14 - (y(p.to) - y(p.at)) * 0.35), p.text, 'middle'))
  }
  for (const call of calls) {
    const { out } = side[call.side]
    const { x } = call.side === 'left' && listener ? side.listener : side[call.side]
    const edge = out < 0 ? x - 8 : x + BAR + 8
    const anchor = out < 0 ? 'end' : 'start'
    const words = (t, string, className) => parts.push(text(edge + out * 22, y(t) + 9, className, string, anchor))
    words(call.at, call.text, call.quiet ? 'quiet' : 'name')
    if (call.note) parts.push(text(edge + out * 22, y(call.at) + 40, 'quiet', call.note, anchor))
    if (call.to === undefined) parts.push(path(`M${edge} ${y(call.at)}h${out * 14}`, 'rail'))
    else {
      parts.push(path(`M${edge} ${y(call.at)}h${out * 12}V${y(call.to)}h${-out * 12}`, 'rail'))
      words(call.to, call.returns, 'quiet')
    }
  }
  return parts
}

// The two buffers of both sockets of a connection, each of eight boxes, some of them filled.
function buffers({ output, input, moving, send, recv, note, sizes = {}, names = ['receive buffer', 'send buffer'] }, height) {
  const [receives, sends] = names
  const parts = []
  const BOX = 40
  const row = (x, y, filled) => {
    for (let i = 0; i < 8; i++) {
      parts.push(rect(x + i * BOX, y, BOX - 4, 56, 'body', { rx: 4 }))
      if (i < filled) parts.push(rect(x + i * BOX + 3, y + 3, BOX - 10, 50, 'fill solid c0', { rx: 3 }))
    }
  }
  // A is at the left, as in all figures: it reads what B writes.
  const [a, b] = [{ x: 8, program: 'reader', pc: 'A' }, { x: 770, program: 'writer', pc: 'B' }]
  for (const { x, program, pc } of [a, b]) {
    parts.push(rect(x, 8, 502, height - 16, 'machine', { rx: 12 }), name(x + 18, 42, pc))
    parts.push(rect(x + 18, 56, 466, 70, 'body', { rx: 8 }), name(x + 36, 101, program))
    parts.push(rect(x + 6, 178, 490, height - 196, 'kernel', { rx: 6 }))
    parts.push(text(x + 484, 210, 'name', 'kernel', 'end'), text(x + 18, 210, 'quiet', 'a socket'))
    parts.push(rect(x + 18, 224, 466, height - 258, 'body c0', { rx: 8 }))
  }
  const [first, second] = [276, 426]
  parts.push(text(a.x + 36, first - 10, 'quiet', receives), text(b.x + 36, first - 10, 'name', sends))
  parts.push(text(a.x + 36, second - 10, 'quiet', sends), text(b.x + 36, second - 10, 'quiet', receives))
  row(a.x + 92, first, input)
  row(b.x + 92, first, output)
  row(a.x + 92, second, 0)
  row(b.x + 92, second, 0)
  if (input) parts.push(text(a.x + 92, first + 92, 'quiet', sizes.input ? `Recv-Q ${sizes.input} bytes` : 'Recv-Q'))
  if (output) parts.push(text(b.x + 92, first + 92, 'quiet', sizes.output ? `Send-Q ${sizes.output} bytes` : 'Send-Q'))
  // The way of the bytes, and the way back.
  parts.push(path(`M${b.x + 18} ${first + 28}H${a.x + 484}`, 'line c0'))
  parts.push(path(`M${a.x + 484} ${second + 28}H${b.x + 18}`, 'line over'))
  if (moving) {
    for (let i = 0; i < moving; i++) parts.push(rect(606 + i * 36, first + 8, 30, 40, 'fill solid c0', { rx: 3 }))
    parts.push(path(`M576 ${first + 8}l-24 20l24 20`, 'line c0'))
  }
  if (note) note.forEach((line, i) => parts.push(text(640, first + 8 + i * 36, 'warn', line, 'middle')))
  // The calls, between program and socket.
  const call = (x, { text: string, state }, down) => {
    const at = x + 250
    if (state === 'none') return
    parts.push(text(at + 20, 162, state === 'waits' ? 'warn' : 'name', string))
    if (state === 'waits') {
      parts.push(path(`M${at} 128V176`, 'stop'), path(`M${at - 12} 140l24 24m0 -24l-24 24`, 'stop'))
    } else parts.push(...(down ? arrow(at, 128, at, 176) : arrow(at, 176, at, 128)))
  }
  call(a.x - 60, recv, false)
  call(b.x - 60, send, true)
  return parts
}

// The four values that a connected socket knows, at both ends: what is local here is the peer's there.
function tuple({ ends }, height) {
  const parts = []
  const x = [8, 700]
  const rows = ['local IP', 'local port', 'peer IP', 'peer port']
  const y = (row) => 120 + row * 118 + (row > 1 ? 20 : 0)
  ends.forEach((end, e) => {
    parts.push(rect(x[e], 8, 572, height - 16, 'machine', { rx: 12 }), name(x[e] + 20, 50, end.name))
    parts.push(text(x[e] + 552, 50, 'quiet', end.who, 'end'))
    rows.forEach((row, r) => {
      const color = r === 0 || r === 1 ? e : 1 - e
      parts.push(rect(x[e] + 20, y(r) - 38, 532, 92, `body c${color}`, { rx: 8 }))
      parts.push(name(x[e] + 44, y(r) + 18, String(r + 1)), text(x[e] + 84, y(r) + 18, 'quiet', row))
      parts.push(text(x[e] + 532, y(r) + 18, `peer c${color}`, end.values[r], 'end'))
    })
  })
  for (let r = 0; r < 4; r++) {
    const to = (r + 2) % 4
    parts.push(path(`M562 ${y(r) + 8}C640 ${y(r) + 8} 640 ${y(to) + 8} 718 ${y(to) + 8}`, `line c${r < 2 ? 0 : 1}`))
  }
  return parts
}

// A machine with its network interfaces, each of which leads to a network.
function networks({ machine, interfaces }, height) {
  const parts = [rect(8, 8, 640, height - 16, 'machine', { rx: 12 }), name(32, 50, machine)]
  const pitch = (height - 90) / interfaces.length
  interfaces.forEach((i, n) => {
    const y = Math.round(74 + n * pitch)
    const h = Math.round(pitch - 18)
    parts.push(rect(40, y, 608, h, `body c${n}`, { rx: 8 }), name(64, y + 44, i.name))
    parts.push(text(624, y + 44, 'quiet', i.what, 'end'))
    i.addresses.forEach((a, k) => parts.push(text(64, y + 88 + k * 38, `peer c${n}`, a)))
    const middle = y + Math.round(h / 2)
    if (i.network) {
      parts.push(path(`M648 ${middle}H860`, `line c${n}`), rect(860, middle - 58, 412, 116, 'kernel', { rx: 58 }))
      parts.push(name(1066, middle - 6, i.network, 'middle'), text(1066, middle + 32, 'quiet', i.other, 'middle'))
    } else {
      parts.push(path(`M648 ${middle - 20}h60v44h-44`, `line c${n}`), path(`M682 ${middle + 8}l-20 16l20 16`, `line c${n}`))
      parts.push(text(730, middle + 10, 'quiet', i.other))
    }
  })
  return parts
}

// A range of numbers as a bar, to scale; its parts have texts with a line to them.
function range({ from, to, parts: pieces }, height) {
  const parts = []
  const [left, width] = [60, 1160]
  const middle = Math.round(height / 2) - 20
  const x = (n) => left + ((n - from) / (to + 1 - from)) * width
  for (const p of pieces) {
    const [x1, x2] = [x(p.from), x(p.to + 1)]
    const [start, wide] = [Math.round(x1 * 10) / 10, Math.round((x2 - x1) * 10) / 10]
    parts.push(rect(start, middle, wide, 90, `body ${p.class}`))
    if (p.class) parts.push(rect(start, middle, wide, 90, `fill ${p.class}`))
  }
  for (const p of pieces) {
    const center = Math.round((x(p.from) + x(p.to + 1)) / 2)
    const at = Math.min(WIDTH - 30 - p.width / 2, Math.max(30 + p.width / 2, p.at ?? center))
    const y = p.above ? middle - 130 : middle + 190
    parts.push(name(at, y, p.numbers, 'middle'))
    p.text.forEach((line, i) => parts.push(text(at, y + 38 + i * 36, 'quiet', line, 'middle')))
    const foot = p.above ? y + 48 + 36 * (p.text.length - 1) : y - 34
    parts.push(path(`M${center} ${p.above ? middle : middle + 90}L${at} ${foot}`, 'rail'))
  }
  return parts
}

// A way with stations: at each of them it may end, and under each is what the client sees then.
function way({ stations }, height) {
  const parts = []
  const pitch = Math.round((height - 20) / stations.length)
  stations.forEach((s, i) => {
    const y = 12 + i * pitch
    if (i) parts.push(...arrow(190, y - pitch + 66, 190, y - 1))
    parts.push(rect(8, y, 364, 64, s.end ? 'lit' : 'body', { rx: 8 }), name(190, y + 42, s.name, 'middle'))
    parts.push(...arrow(372, y + 32, 440, y + 32, s.end ? 'arrow' : 'arrow quietly'))
    parts.push(text(456, y + 42, s.end ? 'name' : 'warn', s.result))
    parts.push(text(800, y + 42, 'quiet', s.means))
  })
  return parts
}

// A strip with the sockets that a transcript has named: descriptors, doors and lines, nothing else.
function strip({ left, right, door, name: [a, b] }, height) {
  const parts = [rect(8, 8, 420, height - 16, 'machine', { rx: 12 }), name(28, 46, a)]
  parts.push(rect(852, 8, 420, height - 16, 'machine', { rx: 12 }), name(1252, 46, b, 'end'))
  const y = (i) => 62 + i * 64
  parts.push(rect(376, 24, 104, height - 44, 'frame', { rx: 6 }), text(428, 52, 'port', String(door), 'middle'))
  left.forEach((s, i) => {
    parts.push(name(150, y(i) + 10, s.fd, 'end'))
    if (s.listens) {
      parts.push(el('circle', { cx: 200, cy: y(i), r: 14, class: 'ring' }), path(`M222 ${y(i) - 13}q8 13 0 26M234 ${y(i) - 18}q12 18 0 36`, 'wave'))
      parts.push(path(`M256 ${y(i)}H376`, 'tie'))
    } else {
      const to = y(s.to)
      parts.push(path(`M200 ${y(i)}H480C640 ${y(i)} 640 ${to} 800 ${to}H1080`, 'line c0'), el('circle', { cx: 200, cy: y(i), r: 14, class: 'dot c0' }))
    }
  })
  right.forEach((s, i) => {
    const at = y(s.row)
    parts.push(rect(800, at - 44, 104, 62, 'frame', { rx: 6 }), text(852, at - 14, 'port', String(s.door), 'middle'))
    parts.push(path(`M800 ${at}H1080`, 'line c0'), el('circle', { cx: 1080, cy: at, r: 14, class: 'dot c0' }), name(1120, at + 10, s.fd))
  })
  return parts
}

// The signs of all figures, each with its name and what it means, and a line from one to the other.
function legend({ machine, program, door, listener, connected, signs }, height) {
  const parts = [rect(8, 8, 560, height - 16, 'machine', { rx: 12 }), name(26, 44, machine)]
  parts.push(rect(40, 60, 250, 72, 'body', { rx: 7 }), name(52, 90, program[0]), text(52, 121, 'quiet', program[1]))
  parts.push(rect(14, 150, 553, height - 164, 'kernel', { rx: 6 }), name(480, 186, 'kernel', 'middle'))
  const card = (y, h, { fd, lines }, color) => {
    parts.push(rect(40, y, 431, h, `body${color}`, { rx: 7 }), path(`M86 ${y + 8}V${y + h - 8}`, 'rule'), name(63, y + 38, fd, 'middle'))
    parts.push(text(94, y + 30, 'address', lines[0]), text(94, y + 64, `peer${color}`, lines[1]))
  }
  const [first, second] = [204, 338]
  parts.push(rect(504, first - 4, 112, height - 48 - first, 'frame', { rx: 6 }), text(560, first + 26, 'port', door, 'middle'))
  parts.push(rect(509, first + 34, 102, height - 92 - first, 'opening', { rx: 3 }))
  card(first, 118, listener, '')
  parts.push(text(94, first + 100, 'state', 'LISTEN'))
  card(second, 118, connected, ' c0')
  for (const [x, word] of [[94, 'out'], [264, 'in']]) {
    parts.push(rect(x, second + 76, 156, 34, 'bar', { rx: 3 }), text(x + 8, second + 103, 'quiet', word))
  }
  parts.push(path(`M165 132V142H24V${second + 28}H40M24 ${first + 28}H40`, 'rail'))
  const [one, two] = [first + 84, second + 66]
  parts.push(path(`M495 ${one}H508`, 'tie'), el('circle', { cx: 471, cy: one, r: 12, class: 'ring' }))
  parts.push(path(`M488 ${one - 13}q8 13 0 26M495 ${one - 18}q12 18 0 36`, 'wave'))
  parts.push(path(`M471 ${two}H628`, 'line c0'), el('circle', { cx: 471, cy: two, r: 13, class: 'dot c0' }))
  const points = {
    program: [290, 90], kernel: [540, 176], listener: [300, second + 118], waves: [508, one], door: [616, first + 12],
    local: [424, second + 22], peer: [440, second + 56], buffers: [420, second + 93], fd: [63, second + 50],
  }
  signs.forEach((s, i) => {
    const y = 34 + i * 55
    const [x, at] = points[s.to]
    const low = { fd: height - 32, listener: height - 44 }[s.to] // below the cards
    parts.push(path(`M${x} ${at}${low ? `V${low}H630` : ''}L652 ${y}H664`, 'rail'))
    parts.push(name(670, y + 10, s.name), text(800, y + 10, 'quiet', s.means))
  })
  return parts
}

const DRAWINGS = { legend, lifelines, buffers, tuple, networks, range, strip, way }

function drawing(file, frame) {
  const height = frame.height ?? file.height ?? 608
  const parts = DRAWINGS[file.drawing](frame, height)
  const tree = el(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg', class: 'picture', viewBox: `0 0 ${WIDTH} ${height}`, role: 'img',
      'aria-labelledby': `${frame.figure}-title ${frame.figure}-desc`, 'font-size': FONT_SIZE,
      'font-family': '"DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace',
    },
    el('title', { id: `${frame.figure}-title` }, frame.title),
    el('desc', { id: `${frame.figure}-desc` }, frame.says),
    el('style', {}, FIGURES_CSS),
    rect(0, 0, WIDTH, height, 'page'),
    parts
  )
  return `${serialize(tree)}\n`
}

// --- From JSON to SVG ------------------------------------------------------------------------------

// { times: 10000, ...socket } stands for that many sockets, with one peer's port after the other.
function unfold(snapshot) {
  const many = ({ times, ...socket }, other) =>
    Array.from({ length: times }, (_, i) => {
      const port = (text) => text.replace(/:(\d+)$/, (_, n) => `:${Number(n) + i}`)
      return { ...socket, fd: socket.fd + i, [other]: port(socket[other]) }
    })
  const machines = snapshot.machines.map((m) => ({
    ...m,
    programs: m.programs.map((p) => ({ ...p, sockets: p.sockets.flatMap((s) => (s.times ? many(s, s.moves) : [s])) })),
  }))
  return { time: 0, ...snapshot, machines }
}

// The figures of one file: [[name, SVG], ...].
export function figuresOf(file) {
  if (file.drawing) return (file.frames ?? [file]).map((frame) => [frame.figure, drawing(file, frame)])
  let before = null
  return file.frames.map(({ figure, title, snapshot, mark, alone, kernel }) => {
    const { height, slots } = file
    const options = { title, height, slots, id: figure, standalone: true, mark: mark ?? undefined, kernel }
    const drawn = draw(unfold(snapshot), alone ? null : before, options)
    before = drawn.layout
    return [figure, drawn.svg]
  })
}

export function allFigures() {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json')).sort()
  return files.flatMap((file) => {
    try {
      return figuresOf(JSON.parse(readFileSync(new URL(file, folder))))
    } catch (error) {
      throw new Error(`slides/figures/${file}: ${error.message}`)
    }
  })
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const check = process.argv.includes('--check')
  const stale = allFigures().filter(([figure, svg]) => {
    const file = new URL(`${figure}.svg`, folder)
    try {
      if (readFileSync(file, 'utf8') === svg) return false
    } catch {
      // it is not there yet
    }
    if (!check) writeFileSync(file, svg)
    return true
  })
  for (const [figure] of stale) console.log(`slides/figures/${figure}.svg ${check ? 'is stale: make figures' : 'is made'}`)
  process.exitCode = check && stale.length ? 1 : 0
}
