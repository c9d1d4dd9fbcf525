// page.js: the page of lesson 12. The server sends a snapshot whenever the kernel's tables have
// changed; this page keeps them all, and draws one of them: the latest, or the one chosen.
//
// Everything that is shown comes in as text and stays text: nothing here parses HTML.

import { CSS, draw, toNodes } from '/picture.js'

const LIMIT = 128e6 // bytes of memory for what is kept, roughly
const MOST = 8 // cards one below the other: where more than 5 are needed, the drawing gets taller

// --- 1. A recording: snapshots in the order in which they came -------------------------------------

// A drawing depends on the one before it: what stays, stays in its place. So each snapshot is laid
// out once, in their order, even if it was too quick to be shown; and it is drawn in the same way
// whenever somebody goes back to it.
class Recording {
  frames = [] // { text, layout }: the snapshot as it came, and its layout once it has been made
  dropped = 0 // how many older ones have been dropped
  base = null // the layout of the last one that was dropped
  size = 0
  start = null // the time of the first snapshot of all

  // What a snapshot takes in memory with its layout, as measured: it depends on its sockets.
  static sizeOf(text) {
    return 10000 + 5 * text.length
  }

  add(text) {
    this.frames.push({ text, layout: null })
    this.size += Recording.sizeOf(text)
    while (this.size > LIMIT && this.frames.length > 1) {
      const { text: old, layout } = this.frames.shift()
      this.base = layout ?? this.base
      this.size -= Recording.sizeOf(old)
      this.dropped++
    }
  }

  // Draws snapshot i, after the ones before it. Throws an error when one is not a snapshot.
  draw(i, options) {
    const { frames } = this
    let k = i
    while (k > 0 && !frames[k - 1].layout) k--
    for (; ; k++) {
      const snapshot = JSON.parse(frames[k].text)
      const drawing = draw(snapshot, k > 0 ? frames[k - 1].layout : this.base, { most: MOST, ...options })
      frames[k].layout ??= drawing.layout
      this.start ??= snapshot.time
      const about = { time: snapshot.time - this.start, isFirst: k === 0 && !this.base }
      if (k === i) return Object.assign(drawing, about)
    }
  }

  // As JSON: a list with one snapshot per line.
  toText() {
    return `[\n${this.frames.map((frame) => frame.text).join(',\n')}\n]\n`
  }

  // The recording in a text, which may be a single snapshot too. Throws an error that says what is
  // wrong: every snapshot is drawn once.
  static fromText(text) {
    const value = JSON.parse(text)
    const recording = new Recording()
    for (const snapshot of Array.isArray(value) ? value : [value]) recording.add(JSON.stringify(snapshot))
    if (!recording.frames.length) throw new TypeError('the list of snapshots is empty')
    recording.frames.forEach((_, i) => {
      try {
        recording.draw(i)
      } catch (error) {
        throw new TypeError(`number ${i + 1} is not a snapshot: ${error.message}`)
      }
    })
    return recording
  }
}

// --- 2. What is shown ------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id)
const count = (n, one) => `${n} ${one}${n === 1 ? '' : 's'}`

let live = new Recording() // what the server sends
let shown = live // that, or one from a file
let fileName = '' // of the one from a file
let at = -1 // the index of the snapshot that is shown
let paused = false // else `at` is always the latest
let drawn = null // the frame of it that is in the page
let connection = 'none yet' // 'open' or 'lost'
let waiting = false // for the next frame of the browser

// Has everything drawn again, at most once for each frame of the browser. It makes no frames for a
// page that nobody sees.
function update() {
  if (waiting) return
  waiting = true
  requestAnimationFrame(() => {
    waiting = false
    show()
  })
}

function show() {
  const { frames } = shown
  if (!paused) at = frames.length - 1
  showStatus()
  if (!frames.length) return
  if (frames[at] !== drawn) {
    const began = performance.now()
    const drawing = shown.draw(at)
    $('drawing').replaceChildren(toNodes(drawing.tree, document))
    $('drawing').dataset.milliseconds = (performance.now() - began).toFixed(1)
    showChanges(drawing)
    $('seconds').textContent = (drawing.time / 1000).toFixed(2)
    drawn = frames[at]
  }
  const dropped = shown.dropped ? ` (${shown.dropped} older ones dropped)` : ''
  $('number').textContent = `${at + 1} of ${frames.length}${dropped}`
  $('slider').max = frames.length - 1
  $('slider').value = at
}

function showStatus() {
  let text = { 'none yet': 'Connecting to the server.', open: 'Live.', lost: 'No connection to the server: trying again.' }[connection]
  if (shown !== live) text = `Recording ${fileName}.`
  else if (paused) text = connection === 'lost' ? `Paused. ${text}` : 'Paused.'
  if ($('status').textContent !== text) $('status').textContent = text
  $('status').classList.toggle('lost', shown === live && connection === 'lost')
  $('pause').textContent = paused ? 'Live' : 'Pause'
}

// The lines that say what has changed; the one that is marked in the drawing has the mark, too.
// Where there is one machine only, its name need not be said.
function showChanges({ changes, marked, isFirst, layout }) {
  const { machines } = layout.model
  const prefix = machines.length === 1 ? `${machines[0].name}: ` : ''
  const lines = changes.length ? changes : [isFirst ? 'This is the first snapshot. Start a program of the course in another terminal.' : 'Nothing has changed.']
  const items = lines.map((line) => {
    const item = document.createElement('li')
    item.textContent = line.startsWith(prefix) ? line.slice(prefix.length) : line
    if (line === marked) item.className = 'mark'
    return item
  })
  items.sort((a, b) => b.className.length - a.className.length) // the marked one first
  $('changes').replaceChildren(...items)
}

// Says what went wrong, until something works again. Without a text: nothing did.
function showError(text = '') {
  $('error').textContent = text
  $('error').hidden = !text
}

// --- 3. The stream of snapshots --------------------------------------------------------------------

let stream = null
let latest = '' // the machines of the latest snapshot, as JSON

// The connections between this page and its server are left out, unless all sockets are shown: they
// change with every snapshot that is sent. So is a machine that has nothing else, if there are others.
function withoutOurs(machines) {
  const port = `:${location.port || 80}`
  const others = (list) => list.filter((s) => s.state === 'UDP' || (!s.local.endsWith(port) && !s.peer.endsWith(port)))
  const rest = machines.map((machine) => {
    const programs = machine.programs.map((program) => ({ ...program, sockets: others(program.sockets) }))
    return { ...machine, programs: programs.filter((program) => program.sockets.length), orphans: others(machine.orphans) }
  })
  const kept = rest.filter((m, i) => m.programs.length || m.orphans.length || !machines[i].programs.length)
  return kept.length ? kept : rest
}

function receive({ data }) {
  const snapshot = JSON.parse(data)
  if (!$('all').checked) snapshot.machines = withoutOurs(snapshot.machines)
  const machines = JSON.stringify(snapshot.machines)
  if (machines === latest) return
  latest = machines
  const before = live.dropped
  live.add(JSON.stringify(snapshot))
  if (shown === live && paused) at = Math.max(0, at - (live.dropped - before))
  update()
}

// EventSource connects again by itself when the connection is lost, but not when the server's answer
// was an error.
function connect() {
  stream?.close()
  const mine = new EventSource($('all').checked ? '/events?all' : '/events')
  stream = mine
  mine.onopen = () => {
    connection = 'open'
    update()
  }
  mine.onmessage = receive
  mine.onerror = () => {
    connection = 'lost'
    update()
    if (mine.readyState === EventSource.CLOSED) setTimeout(() => mine === stream && connect(), 2000)
  }
}

// Other sockets are shown: what was there before has not changed, so a new recording begins.
function showAll() {
  live = new Recording()
  latest = ''
  goLive()
  connect()
}
$('all').addEventListener('change', showAll)

// --- 4. Time ---------------------------------------------------------------------------------------

function goLive() {
  shown = live
  paused = false
  showError()
  update()
}

function goTo(i) {
  paused = true
  at = Math.max(0, Math.min(shown.frames.length - 1, i))
  update()
}

const actions = {
  first: () => goTo(0),
  back: () => goTo(at - 1),
  pause: () => (paused ? goLive() : goTo(at)),
  forward: () => goTo(at + 1),
  last: () => goTo(shown.frames.length - 1),
  'save-snapshot': () => save(shown.frames[at].text, 'snapshot.json'),
  'save-recording': () => save(shown.toText(), 'recording.json'),
  'save-svg': () => save(shown.draw(at, { standalone: true, theme }).svg, 'picture.svg'),
  load: () => $('file').click(),
  theme: nextTheme,
  help: () => $('keys').showModal(),
}
for (const [id, action] of Object.entries(actions)) {
  $(id).addEventListener('click', ({ detail }) => {
    if (detail) $(id).blur() // pressed by the mouse: the next Space is for time, not for this button
    if (shown.frames.length || !id.startsWith('save')) action()
  })
}
$('slider').addEventListener('input', () => goTo($('slider').valueAsNumber))

// --- 5. Saving and loading -------------------------------------------------------------------------

function save(text, name) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text], { type: name.endsWith('.svg') ? 'image/svg+xml' : 'application/json' }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10000)
}

async function load(file) {
  try {
    if (file.size > LIMIT / 5) throw new RangeError(`it has more than ${LIMIT / 5e6} MB`)
    shown = Recording.fromText(await file.text())
    fileName = file.name
    showError()
    goTo(0)
  } catch (error) {
    showError(`${file.name} was not loaded: ${error.message}`)
  }
}
$('file').addEventListener('change', () => {
  if ($('file').files.length) load($('file').files[0])
  $('file').value = '' // so that the same file can be chosen again
})
for (const event of ['dragover', 'dragleave', 'drop']) {
  document.addEventListener(event, (e) => {
    e.preventDefault()
    document.body.classList.toggle('dragging', event === 'dragover')
    if (event === 'drop' && e.dataTransfer.files.length) load(e.dataTransfer.files[0])
  })
}

// --- 6. Theme and keys -----------------------------------------------------------------------------

const THEMES = ['system', 'light', 'dark']
let theme = 'system'

function nextTheme() {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]
  if (theme === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
  $('theme').textContent = `Theme: ${theme}`
}

const keys = {
  ' ': 'pause', ArrowLeft: 'back', ArrowRight: 'forward', Home: 'first', End: 'last', a: 'all', t: 'theme', '?': 'help',
}
document.addEventListener('keydown', (event) => {
  const { target, key } = event
  if (event.ctrlKey || event.altKey || event.metaKey || !(key in keys) || $('keys').open) return
  // A control that has the focus keeps the keys that it knows itself.
  const moves = target === $('slider') || (target === $('drawing') && target.scrollWidth > target.clientWidth)
  if (key === ' ' ? target.matches('button, input') : moves && key.length > 1) return
  event.preventDefault()
  $(keys[key]).click()
})

// The colours of the drawing, as a style sheet that no markup had to bring.
const sheet = new CSSStyleSheet()
sheet.replaceSync(CSS)
document.adoptedStyleSheets = [sheet]
connect()
