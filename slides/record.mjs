#!/usr/bin/env node
// slides/record.mjs [--check]: asks the kernel for the snapshots of slides/figures/*.json whose source
// is "recorded": it runs the programs of the lessons on the PCs of the lab, and takes each snapshot
// from bin/12-picture at the moment that the figure shows. --check writes nothing, and says where
// the kernel now tells something else. (Then: make figures.)
//
// A program is called what it is in the figure, a server or a client. What differs from run to run
// gets the numbers that the whole deck has: a program's process id, and the port that the kernel chose
// for a client. Of a machine's addresses only those that the figure
// needs are kept. All else is as the kernel said it.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'

const folder = new URL('figures/', import.meta.url)
const patience = 1000 * Number(process.env.PATIENCE ?? 20)
const PICTURE = '127.0.0.1:8089'
const started = [] // programs, in the order in which they were started

// Starts a program, and waits for the line that says that it has done what it is there for.
function start(pc, command, line, { as, pid, port } = {}) {
  const words = pc ? ['common/lab', 'run', pc, ...command.split(' ')] : command.split(' ')
  const child = spawn(words[0], words.slice(1), { stdio: 'pipe' })
  const program = { child, pc, as, pid, port, name: words.at(pc ? 3 : 0).split('/').pop(), said: '' }
  started.push(program)
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${command}: no line "${line}" in time`)), patience)
    const hear = (data) => {
      program.said += data
      if (!program.said.includes(line)) return
      clearTimeout(late)
      resolve(program)
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('error', reject)
  })
}

async function stopAll() {
  for (const { child } of started.splice(0).reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const ended = new Promise((resolve) => child.on('exit', resolve))
    child.stdin.end()
    child.kill('SIGTERM')
    await ended
  }
}

// --- Snapshots ---------------------------------------------------------------------------------------

const look = async () => (await fetch(`http://${PICTURE}/snapshot`)).json()

// The snapshot as the deck shows it. `like` is the one that the figure has: it says which machines
// and which of their addresses are in it. Sockets of A in both snapshots have the same order.
function asInDeck(snapshot, like) {
  const ports = new Map()
  const pids = new Map()
  for (const machine of snapshot.machines) {
    const mine = started.filter((p) => p.pc === machine.name && p.pid)
    const found = machine.programs.filter((p) => mine.some((m) => m.name === p.name)).sort((a, b) => a.pid - b.pid)
    for (const program of found) {
      const known = mine.find((m) => m.name === program.name && ![...pids.values()].includes(m))
      if (!known) continue
      pids.set(program.pid, known)
      if (known.port) ports.set(program.sockets[0].local, program.sockets[0].local.replace(/:\d+$/, `:${known.port}`))
    }
  }
  const endpoint = (text) => ports.get(text) ?? text
  const socket = ({ fd, local, peer, state, recv_q, send_q }) => ({
    ...(fd === undefined ? {} : { fd }), local: endpoint(local), peer: endpoint(peer), state, recv_q, send_q,
  })
  const machines = like.machines.map(({ name, addresses }) => {
    const machine = snapshot.machines.find((m) => m.name === name) ?? { addresses, programs: [], orphans: [] }
    const missing = addresses.filter((a) => a !== '127.0.0.1' && !machine.addresses.includes(a))
    if (missing.length) throw new Error(`${name} does not have the address ${missing}, but ${machine.addresses}`)
    const programs = machine.programs
      .filter((p) => pids.has(p.pid))
      .map((p) => ({ pid: pids.get(p.pid).pid, name: pids.get(p.pid).as, sockets: p.sockets.map(socket) }))
      .sort((a, b) => a.pid - b.pid)
    return { name, addresses, programs, orphans: machine.orphans.map(socket) }
  })
  return { machines }
}

// --- The scenes: what is run for each file, and when each figure is taken ----------------------------

const server = () => start('A', 'bin/07-accept-many --quiet 192.168.0.101:6666', 'listen:', { as: 'server', pid: 4242 })
const client = (pc, pid, port) => start(pc, 'bin/05-connect 192.168.0.101:6666', 'connect:', { as: 'client', pid, port })

const SCENES = {
  async steps(take) {
    await server()
    await take('steps-1')
    const listens = await look()
    const { pid } = listens.machines.find((m) => m.name === 'A').programs.find((p) => p.name === '07-accept-many')
    process.kill(pid, 'SIGSTOP') // it is busy, and does not call accept()
    await client('B', 4301, 51234)
    await take('queue')
    process.kill(pid, 'SIGCONT')
    for (const figure of ['steps-3', 'steps-4', 'steps-5', 'steps-6']) await take(figure)
    await client('C', 4302, 40001)
    await take('steps-7')
  },
  async sockets(take) {
    await server()
    await client('B', 4301, 51234)
    for (const figure of ['connect', 'accept-one']) await take(figure)
    await client('B', 4303, 51240)
    await client('C', 4302, 51234)
    for (const figure of ['accept-many', 'endpoints']) await take(figure)
  },
  async loopback(take) {
    await start('A', 'bin/06-accept-one 127.0.0.1:6666', 'listen:', { as: 'server', pid: 4242 })
    await start('B', 'bin/06-accept-one 127.0.0.1:6666', 'listen:', { as: 'server', pid: 4244 })
    await start('B', 'bin/05-connect 127.0.0.1:6666', 'connect:', { as: 'client', pid: 4245, port: 51234 })
    await take('loopback')
  },
  async 'ports-in-use'(take) {
    await start('A', 'bin/06-accept-one 127.0.0.1:6666', 'listen:', { as: 'server', pid: 4242 })
    await start('A', 'bin/05-connect 127.0.0.1:6666', 'connect:', { as: 'client', pid: 4243, port: 51234 })
    await take('ports-in-use')
  },
}

// As JSON that people read: what fits into a line is one.
export function pretty(value, indent = '') {
  const spaced = (v) => {
    if (Array.isArray(v)) return `[${v.map(spaced).join(', ')}]`
    if (typeof v !== 'object' || v === null) return JSON.stringify(v)
    return `{${Object.entries(v).map(([k, x]) => `${JSON.stringify(k)}: ${spaced(x)}`).join(', ')}}`
  }
  const line = spaced(value)
  if (line.length + indent.length <= 118 || typeof value !== 'object' || value === null) return line
  const inner = `${indent}  `
  const items = Array.isArray(value)
    ? value.map((v) => inner + pretty(v, inner))
    : Object.entries(value).map(([k, v]) => `${inner}${JSON.stringify(k)}: ${pretty(v, inner)}`)
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  return `${open}\n${items.join(',\n')}\n${indent}${close}`
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const check = process.argv.includes('--check')
  let differing = 0
  const lab = async (word) => {
    const child = spawn('common/lab', [word], { stdio: ['ignore', 'ignore', 'inherit'] })
    await new Promise((resolve) => child.on('exit', resolve))
  }
  try {
    for (const [name, scene] of Object.entries(SCENES)) {
      await lab('up') // a new one each time: nothing of the last scene is in TIME_WAIT
      const path = new URL(`${name}.json`, folder)
      const file = JSON.parse(readFileSync(path))
      await start(null, `bin/12-picture ${PICTURE}`, PICTURE)
      await scene(async (figure) => {
        const frame = file.frames.find((f) => f.figure === figure)
        let seen = null
        // The kernel needs a moment after the last line that a program has printed. What is wanted is
        // what it says when nothing changes any more, or what the figure has already.
        const end = Date.now() + 3000
        do {
          seen = asInDeck(await look(), frame.snapshot)
          if (JSON.stringify(seen) === JSON.stringify(frame.snapshot)) break
          await new Promise((resolve) => setTimeout(resolve, 50))
        } while (Date.now() < end)
        if (JSON.stringify(seen) !== JSON.stringify(frame.snapshot)) {
          ++differing
          const [old, now] = [frame.snapshot, seen].map((s) => JSON.stringify(s).split(/(?<=\}),/))
          console.log(`${figure}: the kernel tells something else than slides/figures/${name}.json`)
          for (const part of now.filter((p) => !old.includes(p))) console.log(`  the kernel: ${part}`)
          for (const part of old.filter((p) => !now.includes(p))) console.log(`  the figure: ${part}`)
        }
        frame.snapshot = seen
        frame.source = 'recorded'
        delete frame.why
      })
      await stopAll()
      await lab('down')
      if (!check) writeFileSync(path, `${pretty(file)}\n`)
    }
  } finally {
    await stopAll()
    await lab('down')
  }
  process.exitCode = check && differing ? 1 : 0
}
