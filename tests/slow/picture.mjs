#!/usr/bin/env node
// tests/slow/picture.mjs MARP BROWSER PICTURES: opens the page of bin/12-picture in a browser, and
// says in TAP what is wrong. The transcripts of the lessons are played meanwhile; after each step,
// what the page shows is compared with what ss and /proc say. Pictures of the page are left in the
// folder PICTURES. MARP is where npm has put Marp, which brings the library that drives the browser.
// Called by `make test-picture`, in a network of its own.
import { execFileSync, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PALETTE, draw } from '../../common/picture.js'

const [marp, browserPath, pictures, ...only] = process.argv.slice(2)
if (!pictures) {
  console.error('usage: tests/slow/picture.mjs MARP BROWSER PICTURES [TEST...]')
  process.exit(2)
}
const { launch } = createRequire(`${resolve(marp)}/`)('puppeteer-core')
const root = resolve(fileURLToPath(import.meta.url), '../../..')
const work = mkdtempSync(join(tmpdir(), 'picture-'))
mkdirSync(pictures, { recursive: true })
const PATIENCE = Number(process.env.PATIENCE ?? 20) * 1000
const PORT = 8080
const ORIGIN = `http://127.0.0.1:${PORT}`
const copy = (value) => JSON.parse(JSON.stringify(value))

// --- what is tested, and how it is told ----------------------------------------------------------

let tests = 0
let failures = 0
// test(NAME, FUNCTION): the function returns a list of problems; an error is one, too.
async function test(name, run) {
  if (only.length && !only.some((word) => name.includes(word))) return
  let problems = []
  try {
    problems = (await run()) ?? []
  } catch (error) {
    problems = [error.stack]
  }
  console.log(`${problems.length === 0 ? 'ok' : 'not ok'} ${++tests} ${name}`)
  for (const problem of problems) console.log(String(problem).replace(/^/gm, '#   '))
  if (problems.length > 0) ++failures
}
const differs = (what, seen, wanted) => (seen === wanted ? [] : [`${what}: ${JSON.stringify(seen)}, not ${JSON.stringify(wanted)}`])

// Asks until the answer is right, or patience ends; returns the last answer.
async function until(ask, isRight = Boolean) {
  const deadline = Date.now() + PATIENCE
  for (;;) {
    const answer = await ask()
    if (isRight(answer) || Date.now() > deadline) return answer
    await new Promise((then) => setTimeout(then, 50))
  }
}

// --- the server and the browser ------------------------------------------------------------------

const started = new Set()
function start(command, args, options = {}) {
  const child = spawn(command, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'], ...options })
  started.add(child)
  child.once('exit', () => started.delete(child))
  return child
}
async function stop(child) {
  if (!started.has(child)) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

// Waits until a program has printed this; what it prints later is read, and not kept.
async function seen(child, words) {
  let output = ''
  await new Promise((then) => {
    child.stdout.on('data', (chunk) => {
      if (!output.includes(words)) output += chunk
      if (output.includes(words)) then()
    })
    child.once('exit', then)
  })
}

let server
async function startServer() {
  server = start('bin/12-picture', [`127.0.0.1:${PORT}`])
  await seen(server, 'listen:')
}

// Chromium as root has no sandbox, nor where CHROME_NO_SANDBOX is set. A pipe drives it, so that it
// has no sockets but those of the page; the rest keeps it from calling home by itself.
const browser = await launch({
  executablePath: browserPath,
  pipe: true,
  args: [
    ...(process.getuid() === 0 || process.env.CHROME_NO_SANDBOX ? ['--no-sandbox'] : []),
    ...['--disable-gpu', '--disable-quic', '--no-first-run', '--hide-scrollbars'],
    ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  ],
})
const page = await browser.newPage()
await page.setViewport({ width: 1280, height: 800 })
const bad = [] // what must never happen, whatever is tested
const expected = { lost: false } // a lost connection is an error on the console
await page.setRequestInterception(true)
page.on('request', (request) => {
  const here = [`${ORIGIN}/`, 'data:', 'blob:'].some((begin) => request.url().startsWith(begin))
  if (!here) bad.push(`a request to ${request.url()}`)
  return here ? request.continue() : request.abort()
})
page.on('pageerror', (error) => bad.push(`an error of the script: ${error}`))
page.on('dialog', (dialog) => bad.push(`a dialog: ${dialog.message()}`) && dialog.dismiss())
page.on('console', (message) => {
  if (!(expected.lost && /ERR_|Failed to load/.test(message.text()))) bad.push(`on the console: ${message.text()}`)
})
await page.exposeFunction('violated', (what) => bad.push(`the Content-Security-Policy was violated: ${what}`))
await page.evaluateOnNewDocument(() => {
  addEventListener('securitypolicyviolation', (e) => window.violated(`${e.violatedDirective} ${e.blockedURI}`))
})

const text = (selector) => page.$eval(selector, (element) => element.textContent)
const settled = () => page.evaluate(() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then))))
async function press(...keys) {
  for (const key of keys) await page.keyboard.press(key)
  await settled()
}
async function open() {
  await page.goto(`${ORIGIN}/`)
  await until(() => page.$('#drawing desc')) // the first drawing
  return differs('the status', await until(() => text('#status'), (s) => s === 'Live.'), 'Live.')
}

// What the page shows, as the lists of lines that the kernel's tables are made into as well.
function lookAtPage() {
  const drawing = document.querySelector('#drawing')
  const pick = (selector, line) => [...drawing.querySelectorAll(selector)].map(line)
  const words = drawing.querySelector('desc')?.textContent.split('\n') ?? []
  const at = (d) => `${d.local} ${d.peer}`
  return {
    status: document.querySelector('#status').textContent,
    machines: words.filter((line) => line.includes(': machine with')).map((line) => line.split(':')[0]),
    programs: pick('.program', ({ dataset: d }) => [d.machine, ...d.pids.split(' ')]),
    names: pick('.program', (g) => g.querySelector('text').textContent),
    sockets: pick('.card:not([data-count])', ({ dataset: d }) =>
      [d.machine, d.fd || '-', d.local, d.peer, d.state, d.recvQ, d.sendQ].join('\t')
    ),
    more: pick('.card[data-count]', ({ dataset: d }) => [d.machine, Number(d.count)]),
    doors: pick('.door', ({ dataset: d }) => `${d.machine}\t${d.port}`),
    lines: pick('.line[data-local]', ({ dataset: d }) => at(d)),
  }
}

// --- what the kernel says ------------------------------------------------------------------------

const run = (command, ...args) => execFileSync(command, args, { cwd: root, encoding: 'utf8' })
const link = (path) => {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
const HERE = 'this machine' // as the server calls it
const pids = () => readdirSync('/proc').filter((name) => /^\d+$/.test(name))

// The machines on which a process runs, each with one of its processes: ours, and the PCs of the lab,
// which have these addresses.
const LAB = { '192.168.0.101': 'A', '192.168.0.102': 'B', '192.168.0.103': 'C' }
function findMachines() {
  const machines = new Map()
  const names = new Map([[link('/proc/self/ns/net'), HERE]]) // of each network
  for (const pid of pids()) {
    const network = link(`/proc/${pid}/ns/net`)
    if (!names.has(network)) {
      try {
        const addresses = run('nsenter', '-t', pid, '-n', 'ip', '-br', '-4', 'addr', 'show')
        names.set(network, LAB[Object.keys(LAB).find((address) => addresses.includes(`${address}/`))])
      } catch {
        continue // it has ended meanwhile
      }
    }
    if (names.get(network)) machines.set(names.get(network), pid)
  }
  return machines
}

const STATES = { ESTAB: 'ESTABLISHED', LISTEN: 'LISTEN', UNCONN: 'CLOSE' }
const spell = (state) => STATES[state] ?? state.replace(/-/g, '_').replace(/_(\d)$/, '$1')
const endpoint = (at) => (at.endsWith(':*') ? 'none' : at.replace(/^\*:/, '[::]:'))

// Asks ss about each machine. The sockets of the page itself are left out on both sides: the page
// shows them as they were when it was drawn, and drawing needs the answer.
function lookAtKernel() {
  const seen = { machines: [], programs: new Map(), sockets: [] }
  const machines = findMachines()
  for (const [name, pid] of [...machines].sort()) {
    const output = run('nsenter', '-t', pid, '-n', 'ss', '-Htuanp')
    const before = seen.sockets.length
    for (const line of output.split('\n').filter(Boolean)) {
      const [protocol, state, recv, send, local, peer] = line.split(/\s+/)
      const isUdp = protocol === 'udp'
      if (isUdp && !/\("\d\d-/.test(line)) continue // a program of others: of UDP no more is shown
      if ([local, peer].some((at) => at.endsWith(`:${PORT}`))) continue
      const isListener = state === 'LISTEN'
      const owners = [...line.matchAll(/\("([^"]*)",pid=(\d+),fd=(\d+)\)/g)].map(([, program, owner, fd]) => ({ program, owner, fd }))
      for (const { owner } of owners) seen.programs.set(`${name}\t${owner}`, link(`/proc/${owner}/exe`))
      const fd = owners.length ? owners.at(-1).fd : '-'
      const what = [endpoint(local), endpoint(peer), isUdp ? 'UDP' : spell(state), recv, isListener ? 0 : send]
      seen.sockets.push([name, fd, ...what].join('\t'))
    }
    if (name !== HERE || machines.size === 1 || seen.sockets.length > before) seen.machines.push(name)
  }
  return seen
}

// --- the transcripts -----------------------------------------------------------------------------

// What differs between the page and the kernel. A socket that has no card of its own is counted.
function compare(shown, kernel) {
  const problems = []
  const left = [...kernel.sockets]
  for (const socket of shown.sockets) {
    const i = left.indexOf(socket)
    if (i < 0) problems.push(`the page shows, and ss does not: ${socket}`)
    else left.splice(i, 1)
  }
  for (const machine of shown.machines) {
    const counted = shown.more.filter(([name]) => name === machine).reduce((sum, [, n]) => sum + n, 0)
    const rest = left.filter((socket) => socket.startsWith(`${machine}\t`))
    // What is left of a program that ended before the server has looked is known as the course's by
    // its port, 6666; the rest of it is not shown.
    const sure = rest.filter((socket) => !socket.split('\t', 2).includes('-') || socket.includes(':6666\t'))
    if (counted < sure.length || counted > rest.length) {
      problems.push(`the page has ${counted} more sockets on ${machine}, not these ${rest.length}:`, ...rest)
    }
  }
  const programs = shown.programs.flatMap(([machine, ...list]) => list.map((pid) => `${machine}\t${pid}`))
  for (const program of kernel.programs.keys()) {
    if (!programs.includes(program)) problems.push(`the page does not show the program ${program}`)
  }
  for (const program of programs) {
    const [, pid] = program.split('\t')
    if (!link(`/proc/${pid}/exe`)) problems.push(`the page shows a program that is not there: ${program}`)
  }
  problems.push(...differs('the machines', shown.machines.join(), kernel.machines.join()))
  // The drawing's own parts: a door for each port, one line for each two ends.
  const ports = new Set()
  const ends = new Map()
  for (const socket of shown.sockets) {
    const [machine, , local, peer] = socket.split('\t')
    if (local !== 'none') ports.add(`${machine}\t${local.split(':').at(-1)}`)
    ends.set(`${local} ${peer}`, (ends.get(`${local} ${peer}`) ?? 0) + 1)
  }
  for (const port of ports) if (!shown.doors.includes(port)) problems.push(`there is no door ${port}`)
  for (const end of ends.keys()) {
    const [local, peer] = end.split(' ')
    const lines = shown.lines.filter((line) => line === end || line === `${peer} ${local}`)
    // (The line to a card with many sockets belongs to that card.)
    const isHere = kernel.sockets.some((socket) => socket.includes(`\t${peer}\t${local}\t`))
    const isUdp = shown.sockets.some((socket) => socket.includes(`\t${local}\t${peer}\tUDP\t`))
    if (isUdp) continue // of its own tests
    const wanted = isHere && !ends.has(`${peer} ${local}`) ? [0, 1] : [1]
    if (peer !== 'none' && !wanted.includes(lines.length)) problems.push(`${lines.length} lines for ${end}`)
  }
  return problems
}

const counts = { steps: 0, cards: 0, differing: 0 }
// Compares now, and again until they agree or patience ends: states of TCP move on by themselves.
async function compareStep(where) {
  counts.steps++
  let cards = 0
  const look = async () => {
    try {
      const [shown, kernel] = [await page.evaluate(lookAtPage), lookAtKernel()]
      cards = shown.sockets.length
      return compare(shown, kernel)
    } catch (error) {
      return [error.message] // a process has ended while we looked
    }
  }
  const problems = await until(look, (list) => !list.length)
  counts.cards += cards
  if (problems.length) counts.differing++
  return { cards, problems: problems.map((problem) => `${where}: ${problem}`) }
}

async function takePictures(name) {
  for (const scheme of ['dark', 'light']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
    await page.screenshot({ path: `${pictures}/${name}-${scheme}.png` })
  }
}

// Plays a page, step by step: the player waits before all that is typed. We are in a network of our
// own already, so it needs no other one (PLAY_INSIDE). Whether a page comes out as written is tested
// elsewhere, and may depend on chance (two PCs of the lab can have the same ephemeral port): it gets a
// second try. What the browser shows does not.
async function playPage(path, last = false) {
  const name = path === 'README.md' ? 'README' : basename(resolve(path, '..'))
  const player = start('common/play', ['--step', path], { env: { ...process.env, PLAY_INSIDE: root, NO_COLOR: '1' } })
  const problems = []
  let most = 0
  let output = ''
  const step = async (where) => {
    const { cards, problems: found } = await compareStep(`${name}: before ${where}`)
    problems.push(...found)
    if (cards > most) await takePictures(name)
    most = Math.max(most, cards)
  }
  for await (const chunk of player.stdout) {
    output += chunk
    const prompt = output.slice(output.lastIndexOf('\n') + 1)
    if (!/^[A-Z](\$|>|\^)/.test(prompt)) continue
    await step(prompt)
    player.stdin.write('\n')
  }
  await step('the end')
  if (/: all as written(; \d+ left out)?$/m.test(output)) return problems
  const seen = output.match(/^.*: not as written\n(?: .*\n)*/gm)?.join('') ?? output.slice(-2000)
  if (last) return [...problems, `the page was not played as written:\n${seen}`]
  console.log(`# ${name} was not played as written, and is played once more:\n${seen.replace(/^/gm, '#   ')}`)
  return [...problems, ...(await playPage(path, true))]
}

// --- files ---------------------------------------------------------------------------------------

const session = await browser.target().createCDPSession()
await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: work, eventsEnabled: true })

// Presses a button that saves a file, and returns what is in the file.
async function saved(button) {
  let name
  const begins = (event) => (name = event.suggestedFilename)
  session.once('Browser.downloadWillBegin', begins)
  const completed = new Promise((then) => {
    const progress = ({ state }) => state === 'completed' && (session.off('Browser.downloadProgress', progress), then())
    session.on('Browser.downloadProgress', progress)
  })
  await page.click(button)
  await completed
  const file = readFileSync(join(work, name), 'utf8')
  rmSync(join(work, name))
  return file
}

async function load(content, name = 'file.json') {
  const path = join(work, name)
  writeFileSync(path, content)
  await (await page.$('#file')).uploadFile(path)
  await until(() => page.evaluate(() => document.querySelector('#file').value === ''))
  await settled()
  rmSync(path)
}

// A recording that is always the same.
const story = JSON.parse(readFileSync(join(root, 'tests/course/pictures/lab.json'))).map((entry) => entry.snapshot)

// Each drawing of the recording that is shown, first to last; the page is at the last one then.
async function allDrawings() {
  const drawings = []
  await press('Home')
  for (;;) {
    drawings.push(await page.$eval('#drawing', (element) => element.innerHTML))
    const [, n, all] = (await text('#number')).match(/^(\d+) of (\d+)/)
    if (n === all) return drawings
    await press('ArrowRight')
  }
}

// A server and a client that come and go: some changes to look at. The text that ask() returns has
// to tell of each.
async function someChanges(ask = () => text('desc')) {
  const echo = start('bin/06-accept-one', [])
  await seen(echo, 'listen:')
  await until(ask, (words) => words.includes('06-accept-one'))
  const client = start('bin/05-connect', [])
  await until(ask, (words) => words.includes('05-connect'))
  return { echo, client }
}

// --- one after the other -------------------------------------------------------------------------

await startServer()

for (const lesson of ['06', '07', '08', '09', '10', '13']) {
  const [path] = readdirSync(join(root, 'lessons')).filter((name) => name.startsWith(lesson))
  await test(`played with the page open: ${path}`, async () => [...(await open()), ...(await playPage(`lessons/${path}/README.md`))])
}
await test('played with the page open: README.md, with the lab', async () => [...(await open()), ...(await playPage('README.md'))])
console.log(`# ${counts.steps} steps compared with ss, ${counts.cards} cards; ${counts.differing} steps differ`)

await test('each key works', async () => {
  const problems = await open()
  const is = async (what, selector, wanted) => problems.push(...differs(what, await text(selector), wanted))
  const { echo, client } = await someChanges()
  const [, last] = (await text('#number')).match(/of (\d+)/)
  await press('Space')
  await is('Space pauses', '#status', 'Paused.')
  client.stdin.end()
  await once(echo, 'exit')
  const number = await until(() => text('#number'), (n) => !n.endsWith(` ${last}`))
  if (!number.startsWith(`${last} of `)) problems.push(`while it is paused, the page goes on: ${number}`)
  await press('ArrowRight')
  await is('one change forward', '#number', number.replace(last, Number(last) + 1))
  await press('Space')
  await is('Space again', '#status', 'Live.')
  const [now, end] = (await text('#number')).split(' of ')
  problems.push(...differs('live is the last one', now, end))
  await load(JSON.stringify(story))
  const all = story.length
  await press('End')
  await press('ArrowLeft')
  await is('the left arrow', '#number', `${all - 1} of ${all}`)
  await press('ArrowLeft', 'ArrowLeft', 'ArrowRight')
  await is('the right arrow', '#number', `${all - 2} of ${all}`)
  await press('Home', 'ArrowLeft')
  await is('Home', '#number', `1 of ${all}`)
  await press('End', 'ArrowRight')
  await is('End', '#number', `${all} of ${all}`)
  await page.focus('#slider')
  await press('ArrowLeft')
  await is('the slider', '#number', `${all - 1} of ${all}`)
  await press('Home')
  await is('the slider', '#number', `1 of ${all}`)
  await page.evaluate(() => document.activeElement.blur())
  for (const [theme, color] of [['light', PALETTE.light.page], ['dark', PALETTE.dark.page], ['system', PALETTE.light.page]]) {
    await press('t')
    await is('t', '#theme', `Theme: ${theme}`)
    const [r, g, b] = color.match(/[^#]{2}/g).map((hex) => parseInt(hex, 16))
    const wanted = `rgb(${r}, ${g}, ${b})`
    for (const [selector, property] of [['body', 'backgroundColor'], ['svg .page', 'fill']]) {
      const seen = await page.$eval(selector, (e, name) => getComputedStyle(e)[name], property)
      problems.push(...differs(`${theme}: ${selector}`, seen, wanted))
    }
  }
  const isOpen = () => page.$eval('#keys', (dialog) => dialog.open)
  await press('?')
  problems.push(...differs('? opens the help', await isOpen(), true))
  await press('Escape')
  problems.push(...differs('Escape closes the help', await isOpen(), false))
  await press('Space', 'a')
  const doors = await until(() => page.evaluate(lookAtPage), ({ doors }) => doors.some((door) => door.endsWith(`\t${PORT}`)))
  if (!doors.doors.some((door) => door.endsWith(`\t${PORT}`))) problems.push(`a does not show all sockets: ${doors.doors}`)
  await press('a')
  return problems
})

await test('what is saved and loaded again gives the same drawings, to the byte', async () => {
  const problems = await open()
  const { echo, client } = await someChanges()
  client.stdin.end()
  await once(echo, 'exit')
  await until(() => text('#changes'), (changes) => changes.includes('ended'))
  const before = await allDrawings()
  const [recording, snapshot, svg] = [await saved('#save-recording'), await saved('#save-snapshot'), await saved('#save-svg')]
  const list = JSON.parse(recording)
  if (list.length < 4) problems.push(`only ${list.length} snapshots`)
  problems.push(...differs('the snapshot that is saved', snapshot, JSON.stringify(list.at(-1))))
  let drawing = null
  for (const one of list) drawing = draw(one, drawing?.layout, { standalone: true, most: 8 })
  problems.push(...differs('the SVG that is saved', svg, drawing.svg))

  await open() // as it was never there
  await load(recording)
  problems.push(...differs('the status', await text('#status'), 'Recording file.json.'))
  problems.push(...differs('the drawings', JSON.stringify(await allDrawings()), JSON.stringify(before)))
  problems.push(...differs('the recording, saved again', await saved('#save-recording'), recording))
  await press('Space')
  problems.push(...differs('Space leads back', await text('#status'), 'Live.'))

  await page.evaluate((content) => {
    const dataTransfer = new DataTransfer()
    dataTransfer.items.add(new File([content], 'dropped.json'))
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }))
  }, snapshot)
  const status = await until(() => text('#status'), (s) => s.startsWith('Recording'))
  problems.push(...differs('the status after a drop', status, 'Recording dropped.json.'))
  problems.push(...differs('a single snapshot', await text('#number'), '1 of 1'))
  return problems
})

await test('a file that is not a recording is refused, and says why', async () => {
  const problems = await open()
  await load(JSON.stringify(story))
  const shown = await page.$eval('#drawing', (element) => element.innerHTML)
  const broken = copy(story)
  broken[3].machines[0].programs[0].sockets[0].state = 'ASLEEP'
  for (const [content, why] of [
    ['', /JSON/], ['hello', /JSON/], ['{"time": 0, "machines": [}', /JSON/],
    ['[]', /the list of snapshots is empty/], ['{}', /number 1 .*snapshot\.time/], ['null', /number 1 .*snapshot must be an object/],
    ['"text"', /number 1 /], ['{"__proto__": {"time": 0, "machines": []}}', /snapshot\.time/],
    [JSON.stringify(broken), /number 4 .*snapshot\.machines\[0\]\.programs\[0\]\.sockets\[0\]\.state .*"ASLEEP"/],
    ['[' + '0,'.repeat(2e7) + '0]', /more than/],
  ]) {
    await load(content)
    const what = content.slice(0, 40)
    const said = await page.$eval('#error', (element) => (element.hidden ? '(nothing)' : element.textContent))
    if (!why.test(said) || !said.startsWith('file.json was not loaded: ')) problems.push(`${what}: it says ${said}`)
    const now = await page.$eval('#drawing', (element) => element.innerHTML)
    if (now !== shown) problems.push(`${what}: it has changed the drawing`)
    await press('End')
    problems.push(...differs(`${what}: End leads to`, await text('#number'), `${story.length} of ${story.length}`))
    await press('Home')
  }
  await press('Space')
  const hidden = await page.$eval('#error', (element) => element.hidden)
  return [...problems, ...differs('the message is hidden again', hidden, true)]
})

await test('hostile names are shown as text, and do nothing', async () => {
  const problems = await open()
  const names = ['<script>hacked = 1</script>', '"><img src=x onerror="hacked = 1">', '\ud800', 'x'.repeat(4096), '\u202eabc\0', '</svg></main>', '__proto__', '']
  for (const name of names) {
    const hostile = copy(story).slice(0, 8)
    for (const { machines } of hostile) {
      for (const machine of machines) {
        Object.assign(machine, { name: name + machine.name, addresses: [name] })
        for (const program of machine.programs) program.name = name
      }
    }
    await load(JSON.stringify(hostile), '<img src=x onerror="hacked = 1">.json')
    if (!(await text('#status')).startsWith('Recording <img')) problems.push(`${name.slice(0, 40)}: ${await text('#status')} ${await text('#error')}`)
    await allDrawings()
    const seen = await page.evaluate(() => [
      typeof hacked, document.querySelectorAll('#drawing script, img, iframe, foreignObject, main main').length,
      document.querySelectorAll('svg').length, document.scrollingElement.scrollWidth <= 1280,
    ])
    problems.push(...differs(name.slice(0, 40), seen.join(), 'undefined,0,1,true'))
  }
  return problems
})

await test('the keyboard alone reaches everything, and shows where it is', async () => {
  const problems = await open()
  const wanted = await page.$$eval('header button, header input:not([hidden]), main, footer button, footer input', (all) => all.map((e) => e.id))
  const reached = []
  for (let i = 0; i < wanted.length; i++) {
    await press('Tab')
    const [id, outline] = await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement)
      return [document.activeElement.id, style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth)]
    })
    reached.push(id)
    if (outline < 2) problems.push(`#${id} has the focus, and does not show it`)
  }
  problems.push(...differs('Tab leads to', reached.join(), wanted.join()))
  await page.focus('#help')
  await press('Enter')
  const inside = await page.evaluate(() => document.querySelector('dialog[open]')?.contains(document.activeElement))
  problems.push(...differs('Enter on Help: the focus is in it', inside, true))
  await press('Enter')
  problems.push(...differs('Enter closes it: the focus is where it was', await page.evaluate(() => document.activeElement.id), 'help'))
  await page.focus('#theme')
  await press('Space')
  problems.push(...differs('Space on a button presses it', await text('#theme'), 'Theme: light'))
  problems.push(...differs('and does nothing else', await text('#status'), 'Live.'))
  await page.focus('#load')
  const chooser = page.waitForFileChooser({ timeout: PATIENCE })
  await settled() // it is waited for by now
  await press('Enter')
  await (await chooser).cancel()
  return problems
})

// Everything that is cut, too faint or too wide, as a list of lines.
function lookAtText(width) {
  const problems = []
  const luminance = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).map((part) => ((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))(part / 255))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor
      if (color !== 'rgba(0, 0, 0, 0)') return color
    }
    return 'rgb(255, 255, 255)'
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement
    if (!node.data.trim() || element.closest('svg') || !element.checkVisibility()) continue
    const words = `"${node.data.trim().slice(0, 40)}"`
    const range = document.createRange()
    range.selectNodeContents(node)
    for (const box of range.getClientRects()) {
      if (box.left < 0 || box.right > width) problems.push(`${words} is at ${box.left} to ${box.right}`)
    }
    const [dark, light] = [getComputedStyle(element).color, background(element)].map(luminance).sort((a, b) => a - b)
    const ratio = (light + 0.05) / (dark + 0.05)
    if (ratio < 4.5) problems.push(`${words} has a contrast of ${ratio.toFixed(2)}, not 4.5`)
    if (parseFloat(getComputedStyle(element).fontSize) < 14) problems.push(`${words} is small`)
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth) problems.push(`${words} is wider than its box`)
  }
  const svg = document.querySelector('#drawing > svg')
  const letters = 28 * svg.getScreenCTM().a
  if (letters < 14) problems.push(`the letters of the drawing have ${letters} px`)
  if (document.scrollingElement.scrollWidth > width) problems.push(`the page is ${document.scrollingElement.scrollWidth} wide`)
  return problems
}

for (const [width, height] of [[360, 640], [1280, 800], [1920, 1080]]) {
  await test(`${width} x ${height}, light and dark: nothing is cut, small or faint`, async () => {
    await page.setViewport({ width, height })
    const problems = await open()
    await load(JSON.stringify(story))
    for (const scheme of ['light', 'dark']) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
      for (const drawing of (await allDrawings()).keys()) {
        if (drawing) await press('ArrowLeft')
        problems.push(...(await page.evaluate(lookAtText, width)).map((problem) => `${scheme}: ${problem}`))
      }
      await page.screenshot({ path: `${pictures}/${width}-${scheme}.png` })
      await press('?')
      problems.push(...(await page.evaluate(lookAtText, width)).map((problem) => `${scheme}, help: ${problem}`))
      await page.screenshot({ path: `${pictures}/${width}-${scheme}-help.png` })
      await press('Escape')
    }
    await page.emulateMediaFeatures([])
    await page.setViewport({ width: 1280, height: 800 })
    return [...new Set(problems)]
  })
}

await test('nothing moves by itself', async () => {
  const problems = await open()
  const moving = await page.evaluate(() => document.getAnimations().length)
  return [...problems, ...differs('animations', moving, 0)]
})

await test('a page that nobody sees is not drawn, and misses nothing', async () => {
  const problems = await open()
  const other = await browser.newPage()
  await other.bringToFront()
  const visible = await until(() => page.evaluate(() => document.visibilityState), (state) => state === 'hidden')
  problems.push(...differs('the page behind another one', visible, 'hidden'))
  const before = await text('#drawing')
  // The server sends each snapshot to all who watch: what has come here has come to the page as well.
  await page.evaluate(() => {
    window.told = ''
    window.watcher = new EventSource('/events')
    window.watcher.onmessage = ({ data }) => (window.told = data)
  })
  const { echo, client } = await someChanges(() => page.evaluate(() => window.told))
  problems.push(...differs('its drawing', await text('#drawing'), before))
  await page.evaluate(() => window.watcher.close())
  await other.close()
  await page.bringToFront()
  const words = await until(() => text('desc'), (desc) => desc.includes('05-connect'))
  if (!words.includes('05-connect')) problems.push(`seen again, it shows ${words}`)
  // Nothing, the server alone, and both: it has all three, though it has drawn none of them.
  const drawings = await allDrawings()
  const found = [[false, false], [true, false], [true, true]].map(([server, client]) =>
    drawings.some((svg) => svg.includes('06-accept-one') === server && svg.includes('05-connect') === client)
  )
  problems.push(...differs('nothing, the server, and both are kept', found.join(), 'true,true,true'))
  client.stdin.end()
  await once(echo, 'exit')
  return problems
})

await test('when the server is gone the page says so, and connects again', async () => {
  const problems = await open()
  expected.lost = true
  await stop(server)
  const lost = await until(() => text('#status'), (s) => s.startsWith('No connection'))
  problems.push(...differs('the status', lost, 'No connection to the server: trying again.'))
  await startServer()
  problems.push(...differs('the status', await until(() => text('#status'), (s) => s === 'Live.'), 'Live.'))
  expected.lost = false
  return problems
})

await test('no errors, no request to another origin, no violation of the Content-Security-Policy', async () => {
  const policy = (await page.goto(ORIGIN)).headers()['content-security-policy'] ?? '(none)'
  if (!policy.startsWith("default-src 'none'; ")) bad.push(`the policy is ${policy}`)
  return bad
})

// Not a test: what it costs, in processor time.
async function measure() {
  const children = (pid) => pids().filter((p) => stat(p)[3] === pid).flatMap((p) => [p, ...children(p)])
  const stat = (pid) => {
    try {
      return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/\(.*\)/s, '-').split(' ')
    } catch {
      return []
    }
  }
  const ticks = Number(run('getconf', 'CLK_TCK'))
  const time = (list) => list.reduce((sum, pid) => sum + Number(stat(pid)[13] ?? 0) + Number(stat(pid)[14] ?? 0), 0) / ticks
  const chromium = () => [String(browser.process().pid), ...children(String(browser.process().pid))]
  const cost = async (what) => {
    const began = [performance.now(), time([String(server.pid)]), time(chromium())]
    await new Promise((then) => setTimeout(then, 10000))
    const share = (i, now) => `${((100 * (now - began[i])) / ((performance.now() - began[0]) / 1000)).toFixed(1)} %`
    const figures = `server ${share(1, time([String(server.pid)]))}, Chromium ${share(2, time(chromium()))} of a core`
    console.log(`# ${what}: ${figures}; last drawing ${await page.$eval('#drawing', (e) => e.dataset.milliseconds)} ms`)
  }
  await open()
  await cost('one watcher, nothing happens')
  await seen(start('bin/11-ten-thousand', ['--quiet']), 'listen:')
  start('bin/11-crowd', ['--clients', '10000', '--active', '1', '--seconds', '60']).stdout.resume()
  await until(() => page.evaluate(lookAtPage), ({ more }) => more.some(([, n]) => n > 9900))
  await cost('one watcher, 10,000 connections, one of which talks')
  const crowd = JSON.parse(await saved('#save-snapshot'))
  let best = Infinity
  for (let i = 0, layout = null; i < 10; i++) {
    const before = process.cpuUsage()
    layout = draw(crowd, layout).layout
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, (user + system) / 1000)
  }
  const sockets = crowd.machines.flatMap((m) => [...m.programs.flatMap((p) => p.sockets), ...m.orphans]).length
  console.log(`# drawing ${sockets} sockets: ${best.toFixed(1)} ms of processor time, the best of 10`)
}
if (!only.length || only.includes('measure')) await measure()

console.log(`1..${tests}`)
await browser.close()
for (const child of started) child.kill('SIGKILL')
rmSync(work, { recursive: true, force: true })
process.exitCode = failures > 0 ? 1 : 0
