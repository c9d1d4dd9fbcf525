// What Marp does not know: how this deck shows transcripts, code, tables, figures and its map. A
// plugin for markdown-it, used for the slides (marp.config.mjs) and for the handout (print.mjs).
// CONTRIBUTING.md has the notation. What does not fit (a key line that the transcript does not have,
// a line of code that the lesson does not have) ends the build with an error.
import { readFileSync } from 'node:fs'
import { FIGURES_CSS } from './figures.mjs'

const top = new URL('..', import.meta.url)
const escape = (text) => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c])

// --- Transcripts -----------------------------------------------------------------------------------

// The lines of a transcript: [{ terminal, kind, text }]; kind is $ > | ? or ^.
function readTranscript(content) {
  return content
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [, terminal, kind, text] = line.match(/^([A-Z])([$>|?^]) ?(.*)$/)
      return { terminal, kind, text }
    })
}

// What a "show" block says:
//   A: server                the name of terminal A
//   key: TEXT                the lines with this text are on a band
//   rows: A / B C            which panes are beside each other: A alone, below it B and C
//   hide: TEXT               the lines with this text are left out
//   table C: one | two       the lines of terminal C (A, unless told) are rows of a table with these headings;
//                            a column with the heading - is left out
//   command => shown         how a command is shown; unless told, without its "| grep ..." and the like
function readShow(content) {
  const show = { names: {}, key: [], hide: [], table: null, rows: null, commands: {} }
  for (const line of content.split('\n').filter(Boolean)) {
    const [, word, of, value] = line.match(/^([A-Za-z]+)(?: ([A-Z]))?: (.*)$/) ?? []
    const [, command, shown] = line.match(/^(.*?) => (.*)$/) ?? []
    if (command) show.commands[command] = shown
    else if (word === 'key' || word === 'hide') show[word].push(value)
    else if (word === 'rows') show.rows = value.split(' / ').map((row) => row.split(' '))
    else if (word === 'table') Object.assign(show, { table: value.split(' | '), tableOf: of ?? 'A' })
    else if (/^[A-Z]$/.test(word)) show.names[word] = value
    else throw new Error(`show: I do not know "${line}"`)
  }
  return show
}

const ADDRESSES = { A: '192.168.0.101', B: '192.168.0.102', C: '192.168.0.103' }
const unfiltered = (command) => command.replace(/ (\||2>&1|<) .*$/, '')

// The lines that a slide shows, as the reader sees them. The player's own signs are left out: a line
// "..." (lines that do not matter), the closing keys, the exit status, a lone Enter, "~".
function shownLines(content, show) {
  const used = new Set()
  const has = (list, text) => list.some((part) => text.includes(part) && used.add(part))
  const lines = readTranscript(content).flatMap(({ terminal, kind, text }) => {
    if (has(show.hide, `${kind} ${text}`)) return []
    if (kind === '?' || kind === '^' || (kind === '>' && !text) || (kind === '|' && text === '...')) return []
    let shown = text.replace(/~(?=\d)/g, '')
    if (kind === '$') {
      shown = show.commands[text] ?? unfiltered(text)
      used.add(text)
    }
    return [{ terminal, kind, text: shown, key: has(show.key, text) }]
  })
  for (const part of [...show.key, ...show.hide, ...Object.keys(show.commands)]) {
    if (!used.has(part)) throw new Error(`show: no line of the transcript has "${part}"`)
  }
  return lines
}

const words = ({ kind, text, key }) => {
  const sign = kind === '$' || kind === '>' ? `<b>${escape(kind)} </b>` : ''
  const spaces = text.match(/^ */)[0].length
  const indent = spaces ? ` style="padding-left:calc(${spaces}ch + 16px)"` : ''
  return { className: `${kind === '|' ? 'said' : 'typed'}${key ? ' key' : ''}`, html: sign + escape(text.trim()), indent }
}

// Panes beside each other, one for each terminal. What happens later is further down, in all of them;
// only what several programs say at the same time is side by side.
function panes(lines, show, lab, room) {
  const terminals = [...new Set(lines.map((line) => line.terminal))].sort()
  const groups = show.rows ?? []
  for (let i = 0; !show.rows && i < terminals.length; i += 2) groups.push(terminals.slice(i, i + 2))
  return groups.map((group) => {
    const mine = lines.filter((line) => group.includes(line.terminal))
    let row = 1
    const taken = new Set()
    const placed = mine.map((line, i) => {
      const before = mine[i - 1]
      const together = before && before.terminal !== line.terminal && before.kind === '|' && line.kind === '|'
      if (i > 0 && !(together && !taken.has(`${row} ${line.terminal}`))) ++row
      taken.add(`${row} ${line.terminal}`)
      return { ...line, row: row + 1, at: i }
    })
    const width = (t) => Math.max(...mine.filter((l) => l.terminal === t).map((l) => l.text.length + (l.kind === '|' ? 0 : 2)), 14)
    const shares = group.map((t) => Math.min(60, Math.max(24, width(t))))
    const columns = shares.map((share) => `minmax(0, ${share}fr)`).join(' ')
    // Letters are as big as there is room for: how many lines will there be at 34 px?
    const all = shares.reduce((sum, share) => sum + share)
    const fits = (t) => ((1200 - 16 * (group.length - 1)) * shares[group.indexOf(t)]) / all / 20.5 - 4
    const high = new Map()
    for (const line of placed) high.set(line.row, Math.max(high.get(line.row) ?? 0, Math.ceil((line.text.length + 2) / fits(line.terminal))))
    const big = groups.length === 1 && [...high.values()].reduce((sum, n) => sum + n, 0) <= room
    const cells = group.flatMap((t, column) => {
      const pc = lab && ADDRESSES[t]
      const name = show.names[t] ?? (pc ? `PC ${t}` : `terminal ${t}`)
      const where = pc ? (show.names[t] ? `PC ${t}` : ADDRESSES[t]) : ''
      // Outside the lab all terminals are on one machine: they have the colours of PC A.
      const color = lab || t === 'A' ? t : 'D'
      const area = `grid-column:${column + 1};grid-row:1 / ${row + 3}`
      return [
        `<div class="pane terminal-${color}" style="${area}"></div>`,
        `<div class="pane-name terminal-${color}" style="grid-column:${column + 1};grid-row:1"><b>${escape(name)}</b><span>${where}</span></div>`,
        ...placed
          .filter((line) => line.terminal === t)
          .map((line) => {
            const { className, html, indent } = words(line)
            const place = `grid-column:${column + 1};grid-row:${line.row}`
            return `<div class="line ${className}" data-at="${line.at}" style="${place}${indent ? `;${indent.slice(8, -1)}` : ''}">${html}</div>`
          }),
      ]
    })
    return `<div class="panes${big ? ' big' : ''}" role="group" aria-label="terminals ${group.join(' and ')}" style="grid-template-columns:${columns}">${cells.join('\n')}<div class="pane-foot" style="grid-row:${row + 2}"></div></div>`
  })
}

function tableOf(lines, show) {
  const command = lines.find((line) => line.kind === '$')
  const rows = lines
    .filter((line) => line.kind === '|')
    .map((line) => {
      const cells = line.text.trim().split(/ {2,}/)
      if (cells.length !== show.table.length) throw new Error(`show: ${show.table.length} columns, and ${cells.length} in "${line.text}"`)
      return `<tr${line.key ? ' class="key"' : ''}>${cells.filter((_, i) => show.table[i] !== '-').map((cell) => `<td>${escape(cell === '-' ? '\u2013' : cell)}</td>`).join('')}</tr>`
    })
  const head = `<tr>${show.table.filter((cell) => cell !== '-').map((cell) => `<th>${escape(cell).replace('-', '\u2011')}</th>`).join('')}</tr>`
  return `<p class="command"><b>$ </b>${escape(command.text)}</p><table class="rows"><thead>${head}</thead><tbody>${rows.join('')}</tbody></table>`
}

function transcript(info, content, showContent, room) {
  const show = readShow(showContent ?? '')
  const lines = shownLines(content, show)
  if (show.table) {
    const others = lines.filter((line) => line.terminal !== show.tableOf)
    const rows = tableOf(lines.filter((line) => line.terminal === show.tableOf), show)
    return [...panes(others, show, /\blab\b/.test(info), 0), rows].join('\n')
  }
  return panes(lines, show, /\blab\b/.test(info), room).join('\n')
}

// --- Code ------------------------------------------------------------------------------------------

// ```code server lessons/06-accept-one/accept-one.c      takes lines from a lesson, and shows them
// ```code server lit=3 from=2 to=5                        shows some of them again; one or more are lit
// With pc=B, the lines have the name of that PC in place of numbers.
// Each line has to be in the lesson, to the letter. So the deck cannot show code that is not there.
function code(info, content, listings) {
  const [, name, ...options] = info.split(' ')
  const file = options.find((option) => option.includes('/'))
  const number = (key) => options.find((option) => option.startsWith(`${key}=`))?.slice(key.length + 1)
  if (file) {
    const source = readFileSync(new URL(file, top), 'utf8').split('\n').map((line) => line.trim())
    const lines = content.trimEnd().split('\n').map((line) => line.trim())
    for (const line of lines) {
      if (!source.includes(line)) throw new Error(`code: ${file} has no line "${line}"`)
    }
    listings.set(name, lines)
  }
  const lines = listings.get(name)
  if (!lines) throw new Error(`code: there is no listing "${name}" yet`)
  const lit = (number('lit') ?? '').split(',').map(Number)
  const [from, to] = [Number(number('from') ?? 1), Number(number('to') ?? lines.length)]
  const shown = lines.slice(from - 1, to).map((line, i) => {
    const n = from + i
    return `<span class="code-line${lit.includes(n) ? ' key' : ''}"><i>${number('pc') ?? n}</i>${escape(line)}</span>`
  })
  return `<pre class="listing${shown.length > 6 ? " whole" : ""}"><code>${shown.join('\n')}</code></pre>`
}

// --- Tables by hand: a packet and the sockets that it may be for ------------------------------------

// packet: FROM -> TO, then a head and rows with " | "; a row that begins with "*" is lit; "= TEXT" is
// the result, below.
function cards(content) {
  let packet = ''
  let result = ''
  const rows = []
  for (const line of content.trimEnd().split('\n')) {
    if (line.startsWith('packet: ')) packet = line.slice(8)
    else if (line.startsWith('= ')) result = line.slice(2)
    else rows.push(line)
  }
  const cells = (line, tag) => line.replace(/^\*/, '').split(' | ').map((cell) => `<${tag}>${escape(cell.trim())}</${tag}>`).join('')
  const [head, ...body] = rows
  const shown = body.map((row) => `<tr${row.startsWith('*') ? ' class="key"' : ''}>${cells(row, 'td')}</tr>`)
  const [from, to] = packet.split(' -> ')
  const arrives = packet ? `<p class="packet"><span>Which socket gets this packet?</span><br>from <b>${escape(from)}</b> to <b>${escape(to)}</b></p>` : ''
  return `${arrives}<table class="rows"><thead><tr>${cells(head, 'th')}</tr></thead><tbody>${shown.join('')}</tbody></table>${
    result ? `<p class="result">${escape(result)}</p>` : ''
  }`
}

// --- Figures ---------------------------------------------------------------------------------------

// A figure becomes a part of the page, so that its text can be searched, and its colours follow the
// deck's. Its style sheet is in the page once.
function figure(src, alt) {
  const svg = readFileSync(new URL(src, import.meta.url), 'utf8')
  const unstyled = svg.includes('class="picture"') ? svg.replace(/<style>.*?<\/style>/s, '') : svg
  return unstyled.replace(/^<svg/, '<svg data-figure').replace(/aria-labelledby="[^"]*"/, `aria-label="${escape(alt).replace(/\s+/g, ' ')}"`)
}

// --- The plugin ------------------------------------------------------------------------------------

// D switches between light and dark; all windows of the deck (the presenter's, too) do it together.
const SCRIPT = `(() => {
  const key = 'deck-theme'
  const set = (theme) => { if (theme) document.documentElement.dataset.theme = theme }
  const get = () => { try { return localStorage.getItem(key) } catch { return null } }
  set(get())
  addEventListener('storage', (event) => { if (event.key === key) set(event.newValue) })
  addEventListener('keydown', (event) => {
    if (event.key !== 'd' || event.ctrlKey || event.metaKey || event.altKey) return
    const dark = (document.documentElement.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark'
    const theme = dark ? 'light' : 'dark'
    set(theme)
    try { localStorage.setItem(key, theme) } catch { /* it is for this window only */ }
  })
})()`
const PAGE_CSS = `${FIGURES_CSS}
svg.picture{font:28px "DejaVu Sans Mono","Liberation Mono",Menlo,Consolas,monospace}
html[data-theme="dark"] section{color-scheme:dark!important}
html[data-theme="light"] section{color-scheme:light!important}`

export function deckPlugin(markdown) {
  const html = (state, content) => Object.assign(new state.Token('deck_html', '', 0), { content, block: true })
  markdown.renderer.rules.deck_html = (tokens, index) => `${tokens[index].content}\n`

  // Notes are paragraphs: where the source breaks a line, the notes do not.
  markdown.core.ruler.after('block', 'deck_notes', ({ tokens }) => {
    for (const token of tokens) {
      if (token.type === 'marpit_comment') token.content = token.content.replace(/(\S)\n(?=\S)/g, '$1 ')
    }
  })

  markdown.core.ruler.push('deck', (state) => {
    if (state.inlineMode) return
    const listings = new Map()
    const out = []
    const { tokens } = state
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]
      const [word] = (token.info ?? '').split(' ')
      if (token.type === 'fence' && word === 'console') {
        const next = tokens[i + 1]
        const show = next?.type === 'fence' && next.info === 'show' ? tokens[++i].content : null
        // A figure below takes much of the room, a text some of it.
        const after = tokens.slice(i + 1, tokens.findIndex((t, k) => k > i && t.type === 'marpit_slide_close'))
        const room = after.some((t) => t.children?.[0]?.type === 'image') ? 0 : after.some((t) => t.type === 'paragraph_open') ? 9 : 11
        out.push(html(state, transcript(token.info, token.content, show, room)))
      } else if (token.type === 'fence' && word === 'code') out.push(html(state, code(token.info, token.content, listings)))
      else if (token.type === 'fence' && word === 'cards') out.push(html(state, cards(token.content)))
      else if (token.type === 'fence') throw new Error(`a slide has a block of an unknown kind, "${token.info}"`)
      else if (token.type === 'inline' && token.children?.length === 1 && token.children[0].type === 'image') {
        const [image] = token.children
        out.pop() // the paragraph's opening
        out.push(html(state, `<div class="figure">${figure(image.attrGet('src'), image.content)}</div>`))
        ++i // and its end
      } else out.push(token)
    }
    state.tokens = addMap(state, out, html)
  })
}

const has = (token, name) => (token.attrGet('class') ?? '').split(' ').includes(name)

// Each slide says in which part it is, and how far the lecture has come; a slide that begins a part
// has the map of all parts.
function addMap(state, tokens, html) {
  const slides = tokens.filter((token) => token.type === 'marpit_slide_open')
  const parts = []
  let inside = null
  tokens.forEach((token, i) => {
    if (token.type === 'marpit_slide_open') inside = token
    if (!inside || token.type !== 'heading_open' || !has(inside, 'part')) return
    const question = tokens.slice(i).find((t, k, rest) => t.type === 'inline' && rest[k - 1]?.type === 'paragraph_open')
    parts.push({ slide: inside, title: tokens[i + 1].content, question: question?.content ?? '', appendix: has(inside, 'appendix') })
  })
  const main = parts.filter((part) => !part.appendix)
  const map = (here) => {
    const rows = main.map((part) => {
      const at = here && main.indexOf(here)
      const state = !here ? '' : part === here ? ' class="here"' : main.indexOf(part) < at || at < 0 ? ' class="done"' : ''
      return `<li${state}><b>${escape(part.title)}</b><span>${escape(part.question)}</span></li>`
    })
    return `<ol class="map">${rows.join('')}</ol>`
  }
  // The appendix begins with a list of what is in it.
  const titles = []
  tokens.forEach((token, i) => {
    if (token.type === 'marpit_slide_open') inside = token
    if (token.type !== 'heading_open' || !has(inside, 'exception')) return
    titles.push({ slide: slides.indexOf(inside), title: tokens[i + 1].content.replace(/^Not quite: ([a-z]?)/, (_, first) => first.toUpperCase()) })
  })
  const following = (slide) => {
    const later = titles.filter((t) => t.slide > slides.indexOf(slide))
    return `<ul class="exceptions">${later.map((t) => `<li>${markdownInline(t.title)}</li>`).join('')}</ul>`
  }
  const markdownInline = (text) => escape(text).replace(/`([^`]*)`/g, '<code>$1</code>')
  // A slide that says "Not quite" names the statement that it corrects, in the words of the recap.
  const claims = new Map()
  tokens.forEach((token, i) => {
    const number = token.type === 'td_open' && tokens[i + 1].content
    if (/^\d+$/.test(number)) claims.set(number, tokens[i + 4].content)
  })
  const corrects = (slide) => {
    const [number] = slide.meta?.marpitDirectives?.footer?.match(/\d+/) ?? []
    if (!claims.has(number)) throw new Error(`"Not quite", and the recap has no claim ${number}`)
    return html(state, `<p class="corrects">Claim ${number}: ${markdownInline(claims.get(number))}</p>`)
  }
  let n = 0
  let part = null
  let slide = null
  return tokens.flatMap((token) => {
    if (token.type === 'marpit_slide_open') {
      slide = token
      part = parts.find((p) => p.slide === token) ?? part
      ++n
      const first = n === 1 ? [html(state, `<style>${PAGE_CSS}</style><script>${SCRIPT}</script>`)] : []
      return [token, ...first]
    }
    if (token.type === 'heading_close' && has(slide, 'exception')) return [token, corrects(slide)]
    if (token.type !== 'marpit_slide_close') return [token]
    const place = part && (part.appendix ? part.title : `${part.title} \u00b7 ${main.indexOf(part) + 1}/${main.length}`)
    const kind = has(slide, 'optional') ? ' \u00b7 optional' : ''
    const where = part && !has(slide, 'plain') ? `<div class="where">${escape(place)}${kind}</div>` : ''
    const done = `<div class="progress" style="width:${((100 * n) / slides.length).toFixed(1)}%"></div>`
    const isMap = has(slide, 'whole-map') || (part?.slide === slide && !part.appendix)
    const isAppendix = part?.slide === slide && part?.appendix
    return [...(isAppendix ? [html(state, following(slide))] : []), ...(isMap ? [html(state, map(part?.slide === slide ? part : null))] : []), html(state, `<div class="rest"></div>${where}${done}`), token]
  })
}
