// tests/course/picture.test.mjs: the drawing code by itself (node --test tests/course/picture.test.mjs). The
// snapshots are in tests/course/pictures/: stories, each a dozen snapshots one after the other, and cases.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { CSS, FONT_SIZE, PALETTE, clean, difference, draw, textWidth, toNodes } from '../../common/picture.js'

const load = (name) => JSON.parse(readFileSync(new URL(`pictures/${name}.json`, import.meta.url)))
const CONNECTIONS = ['one-machine', 'lab', 'ipv6']
const STORIES = [...CONNECTIONS, 'datagrams']
const copy = (value) => JSON.parse(JSON.stringify(value))
const socket = (fd, local, peer, state = 'ESTABLISHED', recv_q = 0, send_q = 0) => ({ fd, local, peer, state, recv_q, send_q })
const machine = (name, programs, orphans = []) => ({ name, addresses: ['127.0.0.1'], programs, orphans })
const snapshot = (...machines) => ({ time: 0, machines })
const program = (pid, name, ...sockets) => ({ pid, name, sockets })

// --- What an SVG holds: read by a parser of its own, which refuses what is not well-formed ---------

function parse(svg) {
  const root = { name: '#', attributes: {}, children: [], text: '' }
  const open = [root]
  const entities = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }
  const plain = (raw) => {
    assert.doesNotMatch(raw, /[<>]|&(?!(amp|lt|gt|quot|#39);)/, 'unescaped text')
    assert.doesNotMatch(raw, /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/)
    return raw.replace(/&([a-z0-9#]+);/g, (_, name) => entities[name])
  }
  const token = /<(\/?)([a-z]+)((?: [a-zA-Z0-9:-]+="[^"<]*")*)(\/?)>|([^<]+)/gy
  while (token.lastIndex < svg.length) {
    const at = token.lastIndex
    const match = token.exec(svg)
    assert.ok(match, `not well-formed at: ${svg.slice(at, at + 60)}`)
    const [, close, name, attributes, empty, text] = match
    const parent = open.at(-1)
    if (text !== undefined) parent.text += plain(text)
    else if (close) assert.equal(open.pop().name, name)
    else {
      const node = { name, attributes: {}, children: [], text: '', parent }
      for (const [, key, value] of attributes.matchAll(/ ([^=]+)="([^"]*)"/g)) {
        assert.ok(!(key in node.attributes), `${key} twice`)
        node.attributes[key] = plain(value)
      }
      parent.children.push(node)
      if (!empty) open.push(node)
    }
  }
  assert.equal(open.length, 1)
  return root.children[0]
}
const all = (node) => [node, ...node.children.flatMap(all)]
const has = (node, name) => (node.attributes.class ?? '').split(' ').includes(name)
const named = (svg, name) => all(typeof svg === 'string' ? parse(svg) : svg).filter((node) => has(node, name))
const box = (node) => {
  const [x, y, width, height] = ['x', 'y', 'width', 'height'].map((key) => Number(node.attributes[key]))
  return { left: x, top: y, right: x + width, bottom: y + height }
}
// A text's box: its width as measured, from the top of its capitals to the foot of its descenders.
function textBox(node) {
  const [x, y, width] = [Number(node.attributes.x), Number(node.attributes.y), textWidth(node.text)]
  const left = { middle: x - width / 2, end: x - width }[node.attributes['text-anchor']] ?? x
  return { left, right: left + width, top: y - 0.76 * FONT_SIZE, bottom: y + 0.24 * FONT_SIZE, node }
}
const overlap = (a, b) => a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5
const inside = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom
const frame = (group) => box(group.children.find((c) => (has(c, 'body') && !has(c, 'behind')) || has(c, 'frame')))

// All that must be true of any drawing.
function checkDrawing(svg, { cut = false } = {}) {
  const root = parse(svg.trimEnd())
  const nodes = all(root)
  assert.equal(root.attributes.viewBox, '0 0 1280 720')
  assert.ok(Number(root.attributes['font-size']) >= 28)
  for (const node of nodes) {
    assert.ok(['svg', 'title', 'desc', 'style', 'g', 'rect', 'path', 'circle', 'text'].includes(node.name), node.name)
    for (const key of Object.keys(node.attributes)) {
      assert.doesNotMatch(key, /^(on|style$|href|xlink)/)
      if (node !== root) assert.doesNotMatch(key, /^font/)
      assert.doesNotMatch(node.attributes[key], /NaN|undefined|null/)
    }
  }
  assert.deepEqual(root.children.slice(0, 2).map((c) => c.name), ['title', 'desc'])
  assert.ok(root.children[0].text && root.children[1].text)
  const ids = nodes.map((n) => n.attributes.id).filter(Boolean)
  assert.equal(root.attributes['aria-labelledby'], ids.join(' '))

  const slide = { left: 0, top: 0, right: 1280, bottom: 720 }
  const texts = nodes.filter((n) => n.name === 'text').map(textBox)
  texts.forEach((text, i) => {
    assert.ok(inside(text, slide), `outside the slide: ${text.node.text}`)
    if (!cut) assert.ok(!text.node.text.includes('\u2026'), `cut: ${text.node.text}`)
    const group = text.node.parent
    if (group.name === 'g') assert.ok(inside(text, frame(group)), `outside its box: ${text.node.text}`)
    for (const other of texts.slice(i + 1)) {
      assert.ok(!overlap(text, other), `"${text.node.text}" and "${other.node.text}" overlap`)
    }
  })
  for (const kind of ['card', 'door', 'program']) {
    const boxes = nodes.filter((n) => has(n, kind)).map(frame)
    boxes.forEach((a, i) => {
      assert.ok(inside(a, slide), `a ${kind} is outside the slide`)
      for (const b of boxes.slice(i + 1)) assert.ok(!overlap(a, b), `two ${kind}s overlap`)
    })
  }
  const cards = nodes.filter((n) => has(n, 'card')).map(frame)
  for (const other of [...nodes.filter((n) => has(n, 'door') || has(n, 'program')).map(frame)]) {
    for (const card of cards) assert.ok(!overlap(card, other), 'a card overlaps a door or a program')
  }
  // A text that is in no box of its own (names, headings) is not on one.
  for (const text of texts) {
    if (text.node.parent.name === 'g') continue
    for (const b of [...cards, ...nodes.filter((n) => has(n, 'program') || has(n, 'door')).map(frame)]) {
      assert.ok(!overlap(text, b), `a box is on "${text.node.text}"`)
    }
  }
  return root
}

function drawStory(name, options) {
  let before = null
  return load(name).map(({ title, snapshot: at }) => {
    const drawing = draw(at, before, options)
    before = drawing.layout
    return { title, snapshot: at, ...drawing }
  })
}

// --- The tests ------------------------------------------------------------------------------------

test('every drawing: well-formed, letters of 28 px, nothing overlaps, nothing is cut', () => {
  for (const name of STORIES) for (const { svg } of drawStory(name)) checkDrawing(svg)
  for (const { snapshot: at } of load('cases')) for (const slots of [1, 3, 5, 6]) checkDrawing(draw(at, null, { slots }).svg)
  for (const theme of ['light', 'dark']) checkDrawing(draw(load('cases')[0].snapshot, null, { theme, standalone: true }).svg)
})

test('what is in the snapshot is in the drawing: every socket with its fd, endpoints, state and queues', () => {
  for (const name of STORIES) {
    for (const { svg, snapshot: at, title } of drawStory(name)) {
      const wanted = at.machines.flatMap((m) =>
        [...m.programs.flatMap((p) => p.sockets), ...m.orphans].map((s) => [m.name, s.fd ?? '', s.local, s.peer, s.state, s.recv_q, s.send_q].join(' '))
      )
      const cards = named(svg.trim(), 'card').map(({ attributes: a }) =>
        ['machine', 'fd', 'local', 'peer', 'state', 'recv-q', 'send-q'].map((key) => a[`data-${key}`]).join(' ')
      )
      assert.deepEqual(cards.sort(), wanted.sort(), title)
      const doors = named(svg.trim(), 'door').map(({ attributes: a }) => `${a['data-machine']} ${a['data-port']}`)
      const ports = at.machines.flatMap((m) => [...m.programs.flatMap((p) => p.sockets), ...m.orphans].map((s) => `${m.name} ${s.local.split(':').at(-1)}`))
      assert.deepEqual([...new Set(doors)].sort(), [...new Set(ports)].sort(), title)
      assert.equal(named(svg.trim(), 'program').length, at.machines.flatMap((m) => m.programs).length, title)
    }
  }
})

test('what stays, stays in its place and keeps its colour, over a whole story', () => {
  for (const name of STORIES) {
    let last = null
    let kept = 0
    for (const { svg, title } of drawStory(name)) {
      const root = parse(svg.trim())
      const places = new Map()
      const put = (key, value) => places.set(key, value)
      for (const c of named(root, 'card')) {
        const a = c.attributes
        const { left, top } = frame(c)
        put(`card ${a['data-machine']} ${a['data-state'] === 'UDP'} ${a['data-local']} ${a['data-peer']}`, `${left} ${top}`)
      }
      for (const p of named(root, 'program')) put(`program ${p.attributes['data-pids']}`, JSON.stringify(frame(p)))
      for (const d of named(root, 'machine')) put(`machine ${d.attributes.x} ${d.attributes.y}`, JSON.stringify(box(d)))
      for (const l of named(root, 'line')) {
        const color = l.attributes.class.split(' ').find((c) => /^c\d$/.test(c))
        const ends = [l.attributes['data-local'], l.attributes['data-peer']].sort().join(' ')
        if (color) put(`line ${ends}`, color)
      }
      for (const [key, value] of places) {
        if (!last?.has(key)) continue
        assert.equal(value, last.get(key), `${name}, ${title}: ${key}`)
        kept++
      }
      last = places
    }
    assert.ok(kept > 60, `only ${kept} comparisons`)
  }
})

test('two connections at the same time have two colours; a colour is not the only sign', () => {
  const { svg } = draw(load('cases')[0].snapshot)
  const lines = named(svg.trim(), 'line').map((l) => l.attributes.class)
  assert.deepEqual(lines, ['line c0', 'line c1', 'line c2'])
  const signs = named(svg.trim(), 'card').map((c) => c.children.find((p) => has(p, 'sign'))?.attributes.d.replace(/[\d.]+/g, '') ?? 'dot')
  assert.equal(new Set(signs.slice(1, 4)).size, 3)
})

test('lines go through a door one beside the other, and each ends at both of its cards', () => {
  for (const name of STORIES) {
    for (const { svg } of drawStory(name)) {
      const root = parse(svg.trim())
      const ends = named(root, 'line').map((l) => l.attributes.d.match(/^M(\d+) (\d+)H/).slice(1).join(' '))
      assert.equal(new Set(ends).size, ends.length, 'two lines begin at one place')
      const dots = named(root, 'card').flatMap((c) => c.children.filter((n) => n.name === 'circle' || (n.name === 'rect' && has(n, 'ring'))).map(({ attributes: a }) => `${a.cx ?? Number(a.x) + 15} ${a.cy ?? Number(a.y) + 11}`))
      for (const end of ends) assert.ok(dots.includes(end))
    }
  }
})

test('a connection stays where it is when its listener is closed', () => {
  const at = (...sockets) => snapshot(machine('A', [program(1, 's', ...sockets, socket(4, '127.0.0.1:60000', '127.0.0.1:5000')), program(2, 'c', socket(3, '127.0.0.1:5000', '127.0.0.1:60000'))]))
  const first = draw(at(socket(3, '127.0.0.1:60000', 'none', 'LISTEN')))
  const second = draw(at(), first.layout)
  const places = (svg) => Object.fromEntries(named(svg.trim(), 'card').map((c) => [c.attributes['data-local'] + c.attributes['data-fd'], frame(c)]))
  const [was, is] = [places(first.svg), places(second.svg)]
  assert.equal(Object.keys(is).length, 2)
  for (const key of Object.keys(is)) assert.deepEqual(is[key], was[key])
})

test('the accept queue: dashed at its listener, without an fd; accept gives it one, in its place', () => {
  for (const name of CONNECTIONS) {
    const frames = drawStory(name)
    const at = (title) => parse(frames.find((f) => f.title === title).svg.trim())
    const queued = named(at('connected, not accepted'), 'queued')
    assert.equal(queued.length, 1)
    assert.equal(queued[0].attributes['data-fd'], '')
    assert.ok(all(queued[0]).some((n) => n.text === 'in queue'))
    assert.ok(named(at('connected, not accepted'), 'card').some((c) => all(c).some((n) => n.text === 'LISTEN, queue 1')))
    assert.equal(named(at('connected, not accepted'), 'queue').length, 1)
    assert.equal(named(at('accepted'), 'queued').length, 0)
    const accepted = named(at('accepted'), 'card').find((c) => c.attributes['data-fd'] === '4')
    assert.deepEqual(frame(accepted), frame(queued[0]))
  }
})

test('buffers: two bars in each connected socket; numbers once there is something in them', () => {
  for (const name of STORIES) {
    for (const { svg, title } of drawStory(name)) {
      for (const card of named(svg.trim(), 'card')) {
        const connected = /UDP|ESTABLISHED|FIN_WAIT|CLOSE_WAIT/.test(card.attributes['data-state'])
        assert.equal(card.children.filter((c) => has(c, 'bar')).length, connected ? 2 : 0, title)
        const filled = Number(card.attributes['data-recv-q'] > 0) + Number(card.attributes['data-send-q'] > 0)
        if (connected) assert.equal(card.children.filter((c) => has(c, 'fill')).length, filled)
        const texts = card.children.map((c) => c.text)
        for (const [label, q] of [['in', 'recv-q'], ['out', 'send-q']]) {
          const n = card.attributes[`data-${q}`]
          if (connected && n > 0) assert.ok(texts.some((t) => t === `${label} ${n}` || t === n), `${title}: ${label} ${n} in ${texts}`)
        }
      }
    }
  }
  // A buffer of a known size that is full has a full bar.
  const full = { ...socket(3, '127.0.0.1:51234', '127.0.0.1:6666', 'ESTABLISHED', 4096, 0), recv_max: 4096 }
  const [card] = named(draw(snapshot(machine('A', [program(1, 'x', full)]))).svg.trim(), 'card')
  const width = (name) => Number(card.children.filter((c) => has(c, name)).at(-1).attributes.width)
  assert.equal(width('fill'), width('bar') - 3)
})

test('states: both where the two ends differ, grey where no program has the socket', () => {
  for (const name of CONNECTIONS) {
    const frames = drawStory(name)
    const at = (title) => named(frames.find((f) => f.title === title).svg.trim(), 'card')
    const states = (title) => at(title).map((c) => c.children.find((t) => has(t, 'state'))?.text ?? '').sort()
    assert.deepEqual(states('half-close'), ['', '', 'CLOSE_WAIT', 'FIN_WAIT2', 'LISTEN'])
    assert.deepEqual(states('the server closes'), ['', '', 'LISTEN', 'TIME_WAIT'])
    const over = (title) => at(title).filter((c) => has(c, 'over')).map((c) => c.attributes['data-state'])
    assert.deepEqual(over('half-close'), [])
    assert.deepEqual(over('the server closes'), ['TIME_WAIT'])
    assert.deepEqual(over('the server ends'), ['FIN_WAIT2'])
    assert.equal(named(frames[3].svg.trim(), 'connecting').length, 2) // a dashed ring and a dashed line
  }
})

test('one change is marked in each frame, and none where nothing has changed', () => {
  for (const name of STORIES) {
    const frames = drawStory(name)
    frames.forEach(({ svg, title, marked }, i) => {
      assert.equal(named(svg.trim(), 'mark').length, i ? 1 : 0, title)
      assert.equal(marked !== null, i > 0)
    })
    const again = draw(frames[6].snapshot, frames[6].layout)
    assert.equal(named(again.svg.trim(), 'mark').length, 0)
    assert.equal(named(draw(frames[6].snapshot, frames[5].layout, { mark: false }).svg.trim(), 'mark').length, 0)
  }
})

test('the same input gives the same bytes, and a layout is not changed by drawing after it', () => {
  for (const name of STORIES) {
    const once = drawStory(name)
    const twice = drawStory(name)
    once.forEach(({ svg, words }, i) => {
      assert.equal(svg, twice[i].svg)
      assert.deepEqual(words, twice[i].words)
    })
    // Back and forth in time: from the layout of frame 4, frame 5 again.
    assert.equal(draw(copy(once[5].snapshot), once[4].layout).svg, once[5].svg)
    assert.equal(draw(once[5].snapshot, twice[4].layout).svg, once[5].svg)
  }
})

test('difference: what has changed, in words', () => {
  const said = load('lab').map(({ title, snapshot: at }, i, list) => [title, i ? difference(list[i - 1].snapshot, at) : []])
  assert.deepEqual(Object.fromEntries(said), {
    'nothing runs': [],
    'the server has bound its port': ['A: 06-accept-one has started: pid 4242', 'A: 06-accept-one has bound 192.168.0.101:6666: fd 3'],
    'the server listens': ['A: 06-accept-one is listening on 192.168.0.101:6666: fd 3'],
    'a client is connecting': ['B: 05-connect has started: pid 4250', 'B: 05-connect is connecting to 192.168.0.101:6666: fd 3'],
    'connected, not accepted': [
      'B: 05-connect has connected to 192.168.0.101:6666: fd 3 is 192.168.0.102:51234',
      'A: 192.168.0.102:51234 is in the accept queue of 192.168.0.101:6666: connected, not accepted yet',
    ],
    'data before accept': ['A: 192.168.0.101:6666 -> 192.168.0.102:51234: 6 bytes in the input buffer (Recv-Q)'],
    accepted: ['A: 06-accept-one has accepted 192.168.0.102:51234: fd 4'],
    read: ['A: 06-accept-one, fd 4: the input buffer (Recv-Q) is empty again'],
    'a second client': [
      'C: 05-connect has started: pid 4260',
      'C: 05-connect has connected to 192.168.0.101:6666: fd 3 is 192.168.0.103:51234',
      'A: 192.168.0.103:51234 is in the accept queue of 192.168.0.101:6666: connected, not accepted yet',
    ],
    'the second is accepted': ['A: 06-accept-one has accepted 192.168.0.103:51234: fd 5'],
    buffers: [
      'A: 06-accept-one, fd 4: 28672 bytes in the input buffer (Recv-Q)',
      'B: 05-connect, fd 3: 32768 bytes in the output buffer (Send-Q)',
    ],
    'half-close': [
      'A: 06-accept-one, fd 4: the input buffer (Recv-Q) is empty again',
      'B: 05-connect, fd 3: the output buffer (Send-Q) is empty again',
      'A: 06-accept-one, fd 4 has gone from ESTABLISHED to CLOSE_WAIT',
      'B: 05-connect, fd 3 has gone from ESTABLISHED to FIN_WAIT2',
    ],
    'the server closes': [
      'B: 05-connect has closed fd 3; its kernel keeps 192.168.0.102:51234 -> 192.168.0.101:6666: TIME_WAIT',
      'A: 06-accept-one has closed fd 4, 192.168.0.101:6666 -> 192.168.0.102:51234: the socket is gone',
      'B: 05-connect has ended: pid 4250',
    ],
    'TIME_WAIT is over': ['B: 192.168.0.102:51234 -> 192.168.0.101:6666 is gone; it was TIME_WAIT'],
    'the server ends': [
      'C: 05-connect, fd 3 has gone from ESTABLISHED to CLOSE_WAIT',
      'A: 06-accept-one has closed fd 5; its kernel keeps 192.168.0.101:6666 -> 192.168.0.103:51234: FIN_WAIT2',
      'A: 192.168.0.101:6666 is gone; it was LISTEN',
      'A: 06-accept-one has ended: pid 4242',
    ],
    'all is gone': [
      'A: 192.168.0.101:6666 -> 192.168.0.103:51234 is gone; it was FIN_WAIT2',
      'C: 192.168.0.103:51234 -> 192.168.0.101:6666 is gone; it was CLOSE_WAIT',
      'C: 05-connect has ended: pid 4260',
    ],
  })
  const grown = (q) => snapshot(machine('A', [program(1, 'x', socket(3, '127.0.0.1:1', '127.0.0.1:2', 'ESTABLISHED', q))]))
  assert.deepEqual(difference(grown(6), grown(9)), ['A: x, fd 3: 9 bytes in the input buffer (Recv-Q), up from 6'])
  assert.deepEqual(difference(grown(9), grown(1)), ['A: x, fd 3: 1 byte left in the input buffer (Recv-Q), down from 9'])
  const many = (n) => snapshot(machine('A', [program(1, 'x', socket(3, '0.0.0.0:66', 'none', 'LISTEN'), ...Array.from({ length: n }, (_, i) => socket(4 + i, '127.0.0.1:66', `127.0.0.1:${1000 + i}`)))]))
  assert.deepEqual(difference(many(0), many(100)), ['A: x has accepted 100 connections'])
  assert.deepEqual(difference(many(100), many(100)), [])
})

test('the same in words, for a screen reader', () => {
  const { words, svg } = draw(load('cases').find((c) => c.title === 'two in the queue').snapshot)
  assert.deepEqual(words.slice(0, 8), [
    'vm: machine with 127.0.0.1',
    'vm: program 06-accept-one, pid 4242',
    'vm: program 05-connect, pid 4250',
    'vm: program 05-connect, pid 4251',
    'vm: program 05-connect, pid 4252',
    'vm: fd 3 of 06-accept-one: local 127.0.0.1:6666, peer none, listening, 2 connections in the accept queue',
    'vm: fd 4 of 06-accept-one: local 127.0.0.1:6666, peer 127.0.0.1:51234, connected (ESTABLISHED)',
    'vm: a socket that no program has: local 127.0.0.1:6666, peer 127.0.0.1:51240, in the accept queue: connected, not accepted yet (ESTABLISHED), Recv-Q 6',
  ])
  assert.equal(parse(svg.trim()).children.find((c) => c.name === 'desc').text, words.join('\n'))
})

const crowd = (n) => {
  const peers = Array.from({ length: n }, (_, i) => `127.0.0.1:${20000 + i}`)
  return snapshot(machine('vm', [
    program(4242, '11-ten-thousand', socket(3, '127.0.0.1:6666', 'none', 'LISTEN'), ...peers.map((p, i) => socket(4 + i, '127.0.0.1:6666', p))),
    program(4300, 'crowd', ...peers.map((p, i) => socket(3 + i, p, '127.0.0.1:6666'))),
  ]))
}

test('more than twelve of a kind are one card with a number, ten thousand as well', () => {
  const { svg, words } = draw(crowd(10000))
  checkDrawing(svg)
  const cards = named(svg.trim(), 'card')
  assert.deepEqual(cards.map((c) => c.attributes['data-count']), [undefined, '10000', '10000'])
  assert.ok(cards.slice(1).every((c) => all(c).some((n) => n.text === '10000 sockets')))
  assert.ok(words.includes('vm: 10000 sockets at 127.0.0.1:6666, ESTABLISHED'))
  assert.ok(svg.length < 20000, `${svg.length} bytes`)
})

test('a crowd comes and goes: what does not fit is a number, and the first ones keep their places', () => {
  let before = null
  const places = new Map()
  for (const n of [0, 1, 2, 3, 4, 5, 6, 9, 12, 13, 40, 1000, 40, 8, 7, 6, 3, 0]) {
    const drawing = draw(crowd(n), before)
    checkDrawing(drawing.svg)
    const cards = named(drawing.svg.trim(), 'card')
    const counted = cards.reduce((sum, c) => sum + Number(c.attributes['data-count'] ?? 1), 0)
    assert.equal(counted, 2 * n + 1, `${n} clients`)
    if (n > 12) assert.deepEqual(cards.map((c) => c.attributes['data-count']), [undefined, String(n), String(n)])
    if (n > 0 && n <= 12 && before && places.size) {
      for (const c of cards) {
        const key = `${c.attributes['data-local']} ${c.attributes['data-peer']}`
        if (!c.attributes['data-count'] && places.has(key) && n < 9) assert.equal(frame(c).top, places.get(key), `${n}: ${key}`)
      }
    }
    if (n <= 9 && n >= places.size / 2) {
      for (const c of cards) if (!c.attributes['data-count']) places.set(`${c.attributes['data-local']} ${c.attributes['data-peer']}`, frame(c).top)
    }
    before = drawing.layout
  }
})

test('the picture in README.md is what is drawn of the recording beside it', () => {
  const [recording, svg] = ['json', 'svg'].map((end) => readFileSync(new URL(`../../lessons/12-picture/picture.${end}`, import.meta.url), 'utf8'))
  let drawing = null
  for (const one of JSON.parse(recording)) drawing = draw(one, drawing?.layout, { standalone: true, most: 8 })
  assert.ok(drawing.svg === svg, 'to make it anew: bin/12-picture, Load picture.json, Last, Save SVG')
})

test('with most: the drawing gets taller for more cards, and cards keep their places and sizes', () => {
  let before = null
  let was = new Map()
  for (const n of [1, 4, 7, 11, 9, 3, 11, 0]) {
    const drawing = draw(crowd(n), before, { most: 12 })
    const root = parse(drawing.svg.trimEnd())
    const cards = named(root, 'card')
    assert.ok(cards.every((c) => !c.attributes['data-count']), `${n}: each socket has a card`)
    assert.equal(cards.length, 2 * n + 1)
    const boxes = new Map(cards.map((c) => [`${c.attributes['data-local']} ${c.attributes['data-peer']}`, frame(c)]))
    for (const [key, place] of boxes) if (was.has(key)) assert.deepEqual(place, was.get(key), `${n}: ${key}`)
    const [, , , height] = root.attributes.viewBox.split(' ').map(Number)
    const lowest = Math.max(...[...boxes.values()].map((place) => place.bottom))
    assert.ok(lowest < height && height - lowest < (n < 5 ? 720 : 130), `${n}: ${lowest} of ${height}`)
    assert.ok(named(root, 'machine').every((m) => box(m).bottom === height - 8))
    was = boxes
    before = drawing.layout
  }
  assert.equal(parse(draw(crowd(0), before, { most: 12 }).svg.trimEnd()).attributes.viewBox, '0 0 1280 720')
  assert.equal(parse(draw(crowd(11)).svg.trimEnd()).attributes.viewBox, '0 0 1280 720')
})

test('more than three of a kind that no program has any more are one card', () => {
  for (const n of [3, 4, 40]) {
    const left = Array.from({ length: n }, (_, i) => socket(null, `127.0.0.1:${40000 + i}`, '127.0.0.1:6666', 'TIME_WAIT'))
    const { svg } = draw(snapshot(machine('vm', [program(1, '06-accept-one', socket(3, '127.0.0.1:6666', 'none', 'LISTEN'))], left)))
    checkDrawing(svg)
    const counts = named(svg.trim(), 'card').map((c) => c.attributes['data-count'] ?? '1')
    assert.deepEqual(counts, n > 3 ? ['1', String(n)] : ['1', '1', '1', '1'])
  }
})

test('the addresses that sockets have are shown first', () => {
  const a = machine('A', [program(1, '06-accept-one', socket(3, '192.168.0.101:6666', 'none', 'LISTEN'))])
  a.addresses = ['10.0.0.101', '192.168.0.101', 'fe80::101']
  const { svg } = draw(snapshot(a, machine('B', [])))
  const texts = named(svg.trim(), 'quiet').map((t) => t.text)
  assert.ok(texts.includes('192.168.0.101') && !texts.includes('10.0.0.101') && texts.includes('+2'), texts.join())
})

test('on one machine what is left of a connection is at the side where it was', () => {
  const left = [socket(null, '127.0.0.1:6666', '127.0.0.1:51234', 'TIME_WAIT'), socket(null, '127.0.0.1:51240', '127.0.0.1:6666', 'TIME_WAIT')]
  const [server, client] = named(draw(snapshot(machine('vm', [], left))).svg.trim(), 'card').map((c) => frame(c).left)
  assert.ok(server < 640 && client > 640, `${server}, ${client}`)
})

test('hostile names and endpoints are shown as text, cut to fit, and harm nothing', () => {
  const names = ['<script>alert(1)</script>', '\ud800', 'x\udc00y', 'a'.repeat(4096), '\u202egnp.exe', ']]>&amp;"\'', '', '\0\x1b[31m', '\u{1f600}'.repeat(50), '\ufdfd'.repeat(20), '__proto__', '\u0e01\u0e33'.repeat(300), 'W\u0301'.repeat(99)]
  for (const name of names) {
    const at = snapshot(
      { name, addresses: [name, '127.0.0.1'], orphans: [], programs: [program(1, name, socket(3, '127.0.0.1:6666', 'none', 'LISTEN')), program(2, name, socket(65535, '127.0.0.1:6666', '127.0.0.1:51234', 'ESTABLISHED', 2 ** 40, 2 ** 40))] },
      { name: `${name}2`, addresses: [], programs: [], orphans: [socket(null, '[fe80::5054:ff:fe12:3456%enp0s31f6]:65535', '[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65534')] }
    )
    const { svg, words } = draw(at, null, { title: name, id: 'x', standalone: true })
    checkDrawing(svg, { cut: true })
    assert.doesNotMatch(svg, /<script/)
    assert.doesNotMatch(svg + words.join(), /[\0\x1b\u202e]|[\ud800-\udbff](?![\udc00-\udfff])/)
    assert.ok(difference(snapshot(), at).every((line) => line.length < 400))
  }
  // The port of a long endpoint is what stays.
  const long = draw(snapshot(machine('A', [program(1, 'x', socket(3, '[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:51234', 'none', 'LISTEN'))])))
  assert.ok(named(long.svg.trim(), 'address').some((t) => /^\[2001:db8.*\u2026ffff\]:51234$/.test(t.text)))
  assert.equal(clean('a\ud800b\u0007c'), 'a\ufffdb\ufffdc')
})

test('a wrong snapshot is refused, with the name of the field', () => {
  const good = load('lab')[6].snapshot
  const cases = [
    [null, 'snapshot must be an object, and is null'],
    [[], 'snapshot must be an object, and is an array'],
    [{ ...good, time: 'now' }, 'snapshot.time must be a number of milliseconds, and is "now"'],
    [{ time: 0 }, 'snapshot.machines must be an array, and is undefined'],
    [{ time: 0, machines: [{}] }, 'snapshot.machines[0].name must be a string, and is undefined'],
    [snapshot(machine('A', []), machine('A', [])), 'snapshot.machines[1].name must be a name that no other machine has, and is "A"'],
    [{ time: 0, machines: [{ name: 'A', addresses: [], programs: [] }] }, 'snapshot.machines[0].orphans must be an array, and is undefined'],
    [snapshot(machine('A', [program(-1, 'x')])), 'snapshot.machines[0].programs[0].pid must be a process id, and is -1'],
    [snapshot(machine('A', [{ pid: 1, name: 'x' }])), 'snapshot.machines[0].programs[0].sockets must be an array, and is undefined'],
    [snapshot(machine('A', [program(1, 'x', null)])), 'snapshot.machines[0].programs[0].sockets[0] must be an object, and is null'],
  ]
  const fields = [
    ['fd', 1.5, 'a file descriptor or null, and is 1.5'],
    ['local', '127.0.0.1', 'an endpoint such as "127.0.0.1:6666", or "none", and is "127.0.0.1"'],
    ['peer', '::1:6666', 'an endpoint such as "127.0.0.1:6666", or "none", and is "::1:6666"'],
    ['peer', 'a:65536', 'an endpoint such as "127.0.0.1:6666", or "none", and is "a:65536"'],
    ['peer', null, 'an endpoint such as "127.0.0.1:6666", or "none", and is null'],
    ['state', 'ESTAB', 'a state of TCP such as "ESTABLISHED", or "UDP", and is "ESTAB"'],
    ['recv_q', -1, 'a number of bytes, and is -1'],
    ['send_q', undefined, 'a number of bytes, and is undefined'],
  ]
  for (const [field, value, what] of fields) {
    const wrong = { ...socket(3, '127.0.0.1:1', '127.0.0.1:2'), [field]: value }
    cases.push([snapshot(machine('A', [], [wrong])), `snapshot.machines[0].orphans[0].${field} must be ${what}`])
  }
  for (const [at, message] of cases) {
    assert.throws(() => draw(at), { name: 'TypeError', message })
    assert.throws(() => difference(good, at), { name: 'TypeError', message })
  }
  checkDrawing(draw(snapshot()).svg)
})

test('ends are joined: IPv4 in IPv6, wildcards, and 127.0.0.1 of one machine is not that of another', () => {
  const lines = (at) => named(draw(at).svg.trim(), 'line').length
  const pair = (a, b) => [program(1, 's', socket(4, a, b)), program(2, 'c', socket(3, b, a))]
  assert.equal(lines(snapshot(machine('A', pair('127.0.0.1:6666', '127.0.0.1:5000')))), 1)
  assert.equal(lines(snapshot(machine('A', [program(1, 's', socket(4, '[::ffff:127.0.0.1]:6666', '[::ffff:127.0.0.1]:5000')), program(2, 'c', socket(3, '127.0.0.1:5000', '127.0.0.1:6666'))]))), 1)
  assert.equal(lines(snapshot(machine('A', pair('127.0.0.1:6666', '127.0.0.1:5000')), machine('B', pair('127.0.0.1:6666', '127.0.0.1:5000')))), 2)
  assert.equal(lines(snapshot(machine('A', [pair('10.0.0.1:6666', '10.0.0.2:5000')[0]]), machine('B', [pair('10.0.0.1:6666', '10.0.0.2:5000')[1]]))), 1)
  // A socket connected to itself; a peer on a machine that is not drawn.
  for (const peer of ['127.0.0.1:5000', '203.0.113.9:443']) checkDrawing(draw(snapshot(machine('A', [program(1, 'x', socket(3, '127.0.0.1:5000', peer))]))).svg)
  const wild = draw(snapshot(machine('A', [program(1, 's', socket(3, '0.0.0.0:6666', 'none', 'LISTEN', 1))], [socket(null, '127.0.0.1:6666', '127.0.0.1:5000')])))
  assert.equal(named(wild.svg.trim(), 'queued').length, 1)
  // After fork() two programs have one socket: one card.
  const forked = draw(snapshot(machine('A', [program(1, 'x', socket(3, '127.0.0.1:1', '127.0.0.1:2')), program(2, 'x', socket(3, '127.0.0.1:1', '127.0.0.1:2'))])))
  assert.equal(named(forked.svg.trim(), 'card').length, 1)
  assert.equal(named(forked.svg.trim(), 'rail').length, 2)
  assert.ok(forked.words.some((line) => line.includes('fd 3 of x, fd 3 of x')))
})

test('UDP: its own symbol, its own door, and a line only to a peer that is shown', () => {
  const story = drawStory('datagrams')
  const at = (title) => story.find((one) => one.title === title)
  const cards = (drawing, is = (a) => a['data-state'] === 'UDP') => named(drawing.svg.trim(), 'card').filter((card) => is(card.attributes))
  for (const { svg } of story) {
    for (const card of named(svg.trim(), 'card')) {
      // An envelope; a circle, and waves, are signs of TCP.
      const udp = card.attributes['data-state'] === 'UDP'
      assert.equal(card.children.filter((c) => c.name === 'circle').length, udp ? 0 : 1)
      if (udp) {
        assert.deepEqual(card.children.filter((c) => has(c, 'ring')).map((c) => c.name), ['rect', 'path'])
        assert.ok(card.children.every((c) => !has(c, 'wave') && !has(c, 'dot')))
        assert.ok(card.children.some((c) => has(c, 'state') && c.text === 'UDP'))
      }
    }
    assert.equal(named(svg.trim(), 'queue').length, 0)
  }
  const lines = (drawing) => named(drawing.svg.trim(), 'line').map(({ attributes: a }) => `${a['data-local']} ${a['data-peer']}${'stroke-dasharray' in a ? ' dotted' : ''}`)
  assert.deepEqual(lines(at('a sender, which got its port with its first message')), [])
  const fixed = cards(at('a sender with a fixed peer'), (a) => a['data-peer'] !== 'none').map(({ attributes: a }) => `${a['data-local']} ${a['data-peer']} dotted`)
  assert.equal(fixed.length, 1)
  assert.deepEqual(lines(at('a sender with a fixed peer')), fixed)
  const full = cards(at('the receiver does not receive: messages are in its buffer'), (a) => a['data-recv-q'] > 0)
  assert.ok(full.length === 1 && full[0].children.some((c) => c.text === `in ${full[0].attributes['data-recv-q']}`))
  assert.deepEqual(lines(at('its client')).map((line) => line.endsWith('dotted')).sort(), [false, true])
  // Both programs have a port 6666, and neither door is the other's.
  const doors = named(at('its client').svg.trim(), 'door').filter((d) => d.attributes['data-port'] === '6666')
  assert.equal(doors.length, 2)

  // A TCP connection and a UDP socket with a fixed peer, with the same endpoints.
  const udp = (fd, local, peer = 'none') => socket(fd, local, peer, 'UDP')
  const [a, b] = ['127.0.0.1:6666', '127.0.0.1:51234']
  const tcp = [program(1, 's', socket(3, a, 'none', 'LISTEN'), socket(4, a, b)), program(2, 'c', socket(3, b, a))]
  const both = snapshot(machine('A', [...tcp, program(3, 'r', udp(3, a)), program(4, 'd', udp(3, b, a))]))
  assert.equal(named(draw(both).svg.trim(), 'card').length, 5)
  assert.deepEqual(lines(draw(both)).sort(), [`${b} ${a} dotted`, `${a} ${b}`])
  assert.deepEqual(difference(snapshot(machine('A', tcp)), snapshot(machine('A', [...tcp, program(3, 'r', udp(3, a))]))), [
    'A: r has started: pid 3', `A: r has a UDP socket, ${a}: fd 3`,
  ])
  assert.deepEqual(difference(snapshot(machine('A', [program(4, 'd', udp(3, '0.0.0.0:51234'))])), snapshot(machine('A', [program(4, 'd', udp(3, b, a))]))), [
    `A: d has a UDP socket, ${b}, with the fixed peer ${a}: fd 3`,
  ])
  // TCP's listener is not where datagrams arrive, nor is a UDP socket where TCP connects.
  assert.deepEqual(lines(draw(snapshot(machine('A', [program(1, 's', socket(3, a, 'none', 'LISTEN')), program(4, 'd', udp(3, b, a))])))), [])
  assert.deepEqual(lines(draw(snapshot(machine('A', [program(3, 'r', udp(3, a))], [socket(null, b, a, 'TIME_WAIT')])))), ['127.0.0.1:51234 127.0.0.1:6666'])
  // Two senders with one receiver, which another machine has: two lines, each in its own colour.
  const lab = draw(snapshot(
    { ...machine('A', [program(1, 'r', udp(3, '0.0.0.0:6666'))]), addresses: ['192.168.0.101'] },
    machine('B', [program(2, 'd', udp(3, '192.168.0.102:51234', '192.168.0.101:6666'))]),
    machine('C', [program(3, 'd', udp(3, '192.168.0.103:51240', '192.168.0.101:6666'))]),
  ))
  checkDrawing(lab.svg)
  const two = named(lab.svg.trim(), 'line').map((l) => [l.attributes.class, l.attributes.d.split(' ').at(-1)])
  assert.equal(new Set(two.map(([color]) => color)).size, 2)
  assert.equal(new Set(two.map(([, end]) => end)).size, 2) // one beside the other
  assert.ok(lab.words.includes('A: fd 3 of r: local 0.0.0.0:6666, peer none, for datagrams (UDP)'))
  assert.ok(lab.words.includes('B: fd 3 of d: local 192.168.0.102:51234, peer 192.168.0.101:6666, for datagrams (UDP), with this peer alone'))
})

test('A is at the left; a fifth machine is counted', () => {
  const names = (list) => named(draw(snapshot(...list.map((n) => machine(n, [])))).svg.trim(), 'name').map((t) => t.text).filter((t) => t !== 'kernel')
  assert.deepEqual(names(['host', 'B', 'A']), ['A', 'host', 'B'])
  assert.deepEqual(names(['A', 'B', 'C', 'D', 'E', 'F']), ['A', 'B', 'C', '3 more machines'])
})

test('any snapshot gives a sound drawing: two hundred that no kernel would make', () => {
  let seed = 16
  const below = (n) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31
    return Math.floor((seed / 2 ** 31) * n)
  }
  const pick = (list) => list[below(list.length)]
  const states = 'ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN CLOSING ? UDP UDP'.split(' ')
  const at = () => (below(12) ? `${pick(['127.0.0.1', '192.168.0.101', '[::1]', '0.0.0.0', '[::]', '[fe80::1%lo]'])}:${pick([66, 6666, 7777, 51234, 51240, 40000])}` : 'none')
  const bytes = () => (below(3) ? 0 : pick([1, 6, 4096, 32768, 2626560, 2 ** 31]))
  const any = (fd) => {
    const state = below(2) ? 'ESTABLISHED' : pick(states)
    return socket(fd, at(), state === 'LISTEN' || !below(8) ? 'none' : at(), state, bytes(), bytes())
  }
  const some = (n, make) => Array.from({ length: below(n) }, (_, i) => make(i))
  for (let run = 0; run < 40; run++) {
    const machines = ['A', 'B', 'C', 'host', 'x'].slice(0, 1 + (run % 5))
    let before = null
    let last = null
    for (let i = 0; i < 5; i++) {
      const made = snapshot(...machines.map((name) => machine(name, some(6, (p) => program(100 + p, pick(['06-accept-one', '05-connect', 'curl']), ...some(5, (k) => any(3 + k)))), some(4, () => any(null)))))
      const drawing = draw(made, before, { slots: 1 + below(7) })
      checkDrawing(drawing.svg, { cut: true })
      assert.equal(draw(made).svg, draw(copy(made)).svg)
      if (last) assert.deepEqual(drawing.changes, difference(last, made))
      before = drawing.layout
      last = made
    }
  }
})

// --- Colours --------------------------------------------------------------------------------------

const channels = (color) => [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16) / 255)
const linear = (color) => channels(color).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
const luminance = (color) => linear(color).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)
const contrast = (a, b) => {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y)
  return (light + 0.05) / (dark + 0.05)
}
// What people without one kind of cones see: Machado, Oliveira and Fernandes (2009), severity 1.
const BLIND = {
  normal: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protan: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deutan: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  tritan: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
}
function lab(color, m) {
  const rgb = linear(color)
  const [r, g, b] = [0, 3, 6].map((i) => Math.min(1, Math.max(0, m[i] * rgb[0] + m[i + 1] * rgb[1] + m[i + 2] * rgb[2])))
  const xyz = [(0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505, 0.2126 * r + 0.7152 * g + 0.0722 * b, (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089]
  const [x, y, z] = xyz.map((v) => (v > 0.008856 ? Math.cbrt(v) : 7.787 * v + 16 / 116))
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)]
}

test('the palette: contrast of texts and lines, and colours that colour-blind people can tell apart', () => {
  for (const [theme, p] of Object.entries(PALETTE)) {
    const check = (front, back, least) => {
      const c = contrast(p[front] ?? front, p[back] ?? back)
      assert.ok(c >= least, `${theme}: ${front} on ${back} has ${c.toFixed(2)}, not ${least}`)
    }
    for (const back of ['page', 'machine', 'kernel', 'card']) check('ink', back, 7)
    for (const back of ['page', 'machine', 'kernel', 'card', 'over']) check('quiet', back, 4.5)
    check('ink', 'frame', 4.5)
    for (const back of ['machine', 'kernel', 'card', 'page']) check('mark', back, 3)
    check('border', 'page', 3)
    check('door', 'opening', 3)
    for (const color of p.connections) {
      check(color, 'card', 4.5) // the peer's endpoint
      for (const back of ['page', 'kernel', 'opening', 'frame']) check(color, back, 3) // lines
      // A number on the filled part of a bar: three tenths of the colour over the card.
      const mix = channels(color).map((c, i) => Math.round(255 * (0.3 * c + 0.7 * channels(p.card)[i])))
      check('ink', `#${mix.map((c) => c.toString(16).padStart(2, '0')).join('')}`, 4.5)
      const grey = channels(color).map((c, i) => Math.round(255 * (0.3 * c + 0.7 * channels(p.over)[i])))
      check('ink', `#${grey.map((c) => c.toString(16).padStart(2, '0')).join('')}`, 4.5)
    }
    for (const [kind, m] of Object.entries(BLIND)) {
      p.connections.forEach((a, i) => {
        for (const b of p.connections.slice(i + 1)) {
          const apart = Math.hypot(...lab(a, m).map((v, k) => v - lab(b, m)[k]))
          assert.ok(apart >= 20, `${theme}, ${kind}: ${a} and ${b} are ${apart.toFixed(1)} apart`)
        }
      })
    }
  }
  for (const name of ['page', 'ink', 'c0', 'c5']) assert.equal(CSS.split(`--${name}:`).length, 5)
  assert.match(CSS, /prefers-color-scheme:dark/)
  assert.match(CSS, /\[data-theme="dark"\]/)
  assert.doesNotMatch(CSS, /url|@import|http|animation|transition/)
})

test('toNodes makes the same drawing, of DOM nodes', () => {
  const document = {
    createTextNode: (data) => data,
    createElementNS: (ns, name) => ({ ns, name, attributes: {}, children: [], setAttribute(key, value) { this.attributes[key] = String(value) }, appendChild(c) { this.children.push(c) } }),
  }
  const { svg, tree } = draw(load('cases')[0].snapshot)
  const shape = (node) => `${node.name}[${Object.values(node.attributes).join()}](${node.children.map((c) => (typeof c === 'string' ? c : shape(c))).join('')})`
  const parsed = parse(svg.trim())
  delete parsed.attributes.xmlns
  const text = (node) => `${node.name}[${Object.values(node.attributes).join()}](${node.text}${node.children.map(text).join('')})`
  assert.equal(shape(toNodes(tree, document)), text(parsed))
})

// --- In a real browser ----------------------------------------------------------------------------

const browser = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path))

test('in Chromium no text is wider than measured, none overlaps, and none leaves its box', { skip: !browser && 'there is no Chromium' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'picture-'))
  try {
    const odd = snapshot(machine('\u{1f600}\ufdfd\u2e3b\u2e3b', [program(1, '\u27f9\u27f9\u01c4\u01c4\u01c4\u6f22', socket(3, '127.0.0.1:6666', 'none', 'LISTEN'))]))
    const svgs = [...STORIES.flatMap((name) => drawStory(name)), ...load('cases').map((c) => draw(c.snapshot)), draw(crowd(50)), draw(odd)].map((d) => d.svg)
    // The page measures what it shows, and writes what is wrong into its <pre>.
    const look = () => {
      const wrong = []
      let texts = 0
      for (const svg of document.querySelectorAll('svg')) {
        const boxes = [...svg.querySelectorAll('text')].map((text) => ({ text, box: text.getBBox() }))
        texts += boxes.length
        boxes.forEach(({ text, box: a }, i) => {
          const say = (what) => wrong.push(`${svg.querySelector('title').textContent}: "${text.textContent}" ${what}`)
          const measured = [...text.textContent].reduce((sum, c) => sum + (c.codePointAt(0) < 0x300 || /[\u2013\u2026]/.test(c) ? 0.61 : 1.22) * 28, 0)
          if (a.width > measured + 0.5) say(`is ${a.width} wide, not ${measured}`)
          if (parseFloat(getComputedStyle(text).fontSize) < 28) say('is small')
          const frame = text.parentNode.tagName === 'g' && text.parentNode.querySelector('.body:not(.behind), .frame')?.getBBox()
          if (frame && (a.x < frame.x || a.x + a.width > frame.x + frame.width)) say('leaves its box')
          for (const { text: other, box: b } of boxes.slice(i + 1)) {
            // The lines of a box may touch: a font's line is taller than its letters.
            if (a.x < b.x + b.width - 1 && b.x < a.x + a.width - 1 && a.y + 4 < b.y + b.height - 4 && b.y + 4 < a.y + a.height - 4) say(`overlaps "${other.textContent}"`)
          }
        })
      }
      document.querySelector('pre').textContent = JSON.stringify({ texts, wrong })
    }
    const page = join(folder, 'page.html')
    writeFileSync(page, `<!doctype html><meta charset="utf-8"><style>${CSS}</style><pre></pre>${svgs.map((s) => `<div style="width:1280px;height:720px">${s}</div>`).join('')}<script>(${look})()</script>`)
    const dom = execFileSync(browser, ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${folder}/profile`, '--dump-dom', page], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 120000 })
    const { texts, wrong } = JSON.parse(dom.match(/<pre>(.*?)<\/pre>/s)[1].replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&'))
    assert.ok(texts > 800, `only ${texts} texts`)
    assert.deepEqual(wrong, [])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('what the deck asks for: a lower drawing, only the machines, and marks at sockets that it names', () => {
  const local = '192.168.0.101:6666'
  const peer = '192.168.0.102:51234'
  const server = program(7, '07-accept-many', socket(3, local, 'none', 'LISTEN'), socket(4, local, peer))
  const snap = snapshot(machine('A', [server]), machine('B', []))
  const mark = [{ machine: 'A', fd: 3 }, { machine: 'A', fd: 4, part: 'peer' }]
  const low = parse(draw(snap, null, { height: 470, slots: 3, mark }).svg)
  assert.equal(low.attributes.viewBox, '0 0 1280 470')
  for (const node of all(low).filter((n) => n.name === 'rect')) assert.ok(box(node).bottom <= 470)
  const [listener, connected] = named(low, 'card').map((card) => [card.attributes['data-fd'], named(card, 'mark').map(box)])
  assert.deepEqual([listener[0], connected[0]], ['3', '4'])
  assert.equal(listener[1].length, 1)
  assert.equal(connected[1].length, 1)
  // The one is around the whole card, the other around the peer alone.
  const text = all(low).find((n) => n.name === 'text' && n.text === peer)
  const around = connected[1][0]
  assert.ok(around.left < Number(text.attributes.x) && around.bottom - around.top < 40)
  assert.ok(around.top < Number(text.attributes.y) && Number(text.attributes.y) < around.bottom)
  assert.ok(listener[1][0].bottom - listener[1][0].top > 60)
  assert.equal(named(draw(snap, null, { kernel: false }).svg, 'kernel').length, 0)
  assert.ok(named(draw(snap).svg, 'kernel').length > 0)
})
