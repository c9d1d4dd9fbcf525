#!/usr/bin/env node
// tests/slow/slides.mjs MARP BROWSER HTML PDF FIGURES PICTURES: looks at the built slides and the
// figures in a browser, in light and in dark, and says in TAP what is wrong. Each slide's picture
// is left in the folder PICTURES. MARP is where npm has put Marp, which brings the library that
// drives the browser. Called by `make test-slides`.
import { createRequire } from 'node:module'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inflateSync } from 'node:zlib'

const paths = process.argv.slice(2).map((path) => resolve(path))
const [marp, browserPath, html, pdf, figures, pictures] = paths
if (!pictures) {
  console.error('usage: tests/slow/slides.mjs MARP BROWSER HTML PDF FIGURES PICTURES')
  process.exit(2)
}
const { launch } = createRequire(`${marp}/`)('puppeteer-core')
const deck = pathToFileURL(html).href
mkdirSync(pictures, { recursive: true })

// --- in the page: these functions run in the browser --------------------------------------------

// The contrast of two colours, as WCAG 2 defines it: from 1 to 21.
function contrast(one, other) {
  const luminance = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).map((part) => {
      const c = part / 255
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (light + 0.05) / (dark + 0.05)
}

// Everything on slide n that is not as it should be, as a list of lines.
function lookAtSlide(n) {
  const problems = []
  const section = document.querySelectorAll('svg[data-marpit-svg] > foreignObject > section')[n - 1]
  const slide = section.getBoundingClientRect()
  if (Math.round(slide.width) !== 1280 || Math.round(slide.height) !== 720 || slide.x || slide.y) {
    return [`is at ${slide.x}, ${slide.y}, ${slide.width} x ${slide.height}, not the whole window`]
  }
  const middle = section.ownerDocument.elementFromPoint(640, 360)
  if (!section.contains(middle)) problems.push('is not the one that is shown')

  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor
      if (color !== 'rgba(0, 0, 0, 0)') return color
      // a line of a pane is drawn over the pane, which is its sibling
      if (e.matches('.line')) return getComputedStyle(e.parentElement.querySelector('.pane')).backgroundColor
    }
    return 'rgb(255, 255, 255)'
  }

  // The texts, each with the boxes of its lines. Figures are looked at by themselves.
  const texts = document.createTreeWalker(section, NodeFilter.SHOW_TEXT)
  const boxes = []
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement
    if (text.data.trim() === '' || element.closest('[data-figure], style, script')) continue
    const style = getComputedStyle(element)
    const range = document.createRange()
    range.selectNodeContents(text)
    const words = text.data.trim().slice(0, 40)
    const foot = element.closest('footer, .where')
    for (const box of range.getClientRects()) boxes.push([`"${words}"`, box, foot, element])
    const ratio = contrast(style.color, background(element))
    if (ratio < 4.5) problems.push(`"${words}" has a contrast of ${ratio.toFixed(2)}, not 4.5`)
    if (parseFloat(style.fontSize) < 28) problems.push(`"${words}" has only ${style.fontSize}`)
  }
  for (const figure of section.querySelectorAll('[data-figure]')) {
    const box = figure.getBoundingClientRect()
    if (box.width !== 1280) problems.push(`its figure is ${box.width} wide: its letters have another size`)
    if (box.top < 60 || box.bottom > 682) problems.push(`its figure is at ${box.top} to ${box.bottom}`)
    if ((figure.getAttribute('aria-label') ?? '').length < 20) problems.push('its figure has no text in place of it')
    for (const text of figure.querySelectorAll('text')) {
      const size = parseFloat(getComputedStyle(text).fontSize)
      if (size < 28) problems.push(`"${text.textContent}", in its figure, has only ${size} px`)
    }
    boxes.push(['the figure', box, null, figure])
  }
  for (const block of section.querySelectorAll('pre, .panes, table')) {
    boxes.push([`a <${block.localName}>`, block.getBoundingClientRect(), null, block])
  }
  // In panes, what comes later is further down; only what programs say may be side by side.
  for (const panes of section.querySelectorAll('.panes')) {
    const lines = [...panes.querySelectorAll('.line')].sort((a, b) => a.dataset.at - b.dataset.at)
    for (let i = 1; i < lines.length; i++) {
      const [one, next] = [lines[i - 1], lines[i]].map((line) => line.getBoundingClientRect())
      const beside = Math.abs(one.top - next.top) < 1 && one.left !== next.left
      const said = [lines[i - 1], lines[i]].every((line) => line.matches('.said'))
      if (!(next.top >= one.bottom - 1 || (beside && said))) {
        problems.push(`"${lines[i].textContent}" is not below "${lines[i - 1].textContent}", which comes before it`)
      }
    }
  }
  const after = getComputedStyle(section, '::after')
  if (after.content !== 'none' && parseFloat(after.fontSize) < 28) problems.push(`its number has only ${after.fontSize}`)

  const number = 720 - 38 // the upper edge of the footer and of the slide's number
  for (const [what, box, foot, element] of boxes) {
    const [left, top, right, bottom] = foot ? [20, number - 2, 1190, 720] : element.matches('[data-figure]') ? [0, 0, 1280, number + 2] : [19, 14, 1261, number + 2]
    if (box.left < left || box.top < top || box.right > right || box.bottom > bottom) {
      const edges = [box.left, box.top, box.right, box.bottom].map(Math.round).join(', ')
      problems.push(`${what} is at ${edges}, outside of ${left}, ${top}, ${right}, ${bottom}`)
    }
  }
  // No text is over another one, or over a figure.
  const apart = (a, b) => a.left >= b.right - 1 || b.left >= a.right - 1 || a.top + 6 >= b.bottom - 6 || b.top + 6 >= a.bottom - 6
  const words = boxes.filter(([, , , element]) => !element.matches('pre, .panes, table'))
  words.forEach(([what, box, , element], i) => {
    for (const [other, its, , one] of words.slice(i + 1)) {
      if (one !== element && !apart(box, its)) problems.push(`${what} is in the way of ${other}`)
    }
  })
  for (const element of [section, ...section.querySelectorAll('*')]) {
    if (element.closest('[data-figure]')) continue
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0) {
      problems.push(`<${element.localName}> is wider inside than outside`)
    }
    if (element.scrollHeight > element.clientHeight + 1 && element.matches('section, pre')) {
      problems.push(`<${element.localName}> is higher inside than outside`)
    }
  }
  return problems
}

// Everything in a figure that is not as it should be. It is shown at its own size, 1280 wide.
function lookAtFigure() {
  const problems = []
  const svg = document.documentElement
  if (svg.localName !== 'svg') return ['is no SVG']
  const { width, height } = svg.viewBox.baseVal
  if (width !== 1280) problems.push(`is ${width} wide, not 1280`)
  const fill = (element) => getComputedStyle(element).fill
  // what is behind a text: a rectangle that is filled, and not only a tint
  const opaque = ({ element }) => fill(element).startsWith('rgb') && Number(getComputedStyle(element).fillOpacity) === 1
  const name = ({ element }) => element.textContent || `a ${element.classList}`
  const edges = (element) => {
    const { x, y, width, height } = element.getBBox()
    return { element, left: x, top: y, right: x + width, bottom: y + height }
  }
  const inside = (a, b) =>
    a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom
  const apart = (a, b) =>
    a.left >= b.right || b.left >= a.right || a.top >= b.bottom || b.top >= a.bottom

  // A text's box is higher than its letters: take some off, above and below.
  const texts = [...svg.querySelectorAll('text')].map(edges)
  for (const text of texts) {
    const size = parseFloat(getComputedStyle(text.element).fontSize)
    text.top += size * 0.25
    text.bottom -= size * 0.25
  }
  // In the order in which they are drawn; a mark is around something, not behind it.
  const rects = [...svg.querySelectorAll('rect:not(.mark)')].map(edges)
  const others = [...svg.querySelectorAll('circle')].map(edges)
  for (const text of texts) {
    const words = `"${text.element.textContent}"`
    const frame = { left: 2, top: 2, right: width - 2, bottom: height - 2 }
    if (!inside(text, frame)) problems.push(`${words} leaves the figure`)
    for (const other of [...texts, ...others]) {
      if (other === text || apart(text, other)) continue
      problems.push(`${words} is in the way of ${name(other)}`)
    }
    const drawnBefore = ({ element }) => element.compareDocumentPosition(text.element) & Node.DOCUMENT_POSITION_FOLLOWING
    const below = rects.findLastIndex((rect) => drawnBefore(rect) && inside(text, rect) && opaque(rect))
    if (below < 0) {
      problems.push(`${words} has no background of its own`)
      continue
    }
    for (const rect of rects.slice(below + 1)) {
      if (inside(text, rect) || apart(text, rect)) continue
      if (rect.element.matches('.fill')) continue // how full a buffer is, behind its number
      problems.push(`${words} crosses the border of ${name(rect)}`)
    }
    const ratio = contrast(fill(text.element), fill(rects[below].element))
    if (ratio < 4.5) problems.push(`${words} has a contrast of ${ratio.toFixed(2)}, not 4.5`)
    const size = parseFloat(getComputedStyle(text.element).fontSize)
    if (size < 28) problems.push(`${words} has only ${size} px`)
  }
  // An arrow, or a line between sides, does not go through a word.
  for (const line of svg.querySelectorAll('path.arrow, path.stop')) {
    const length = line.getTotalLength()
    for (let at = 0; at <= length; at += 4) {
      const { x, y } = line.getPointAtLength(at)
      const hit = texts.find((t) => x > t.left && x < t.right && y > t.top && y < t.bottom)
      if (hit) {
        problems.push(`an arrow goes through "${hit.element.textContent}"`)
        break
      }
    }
  }
  return problems
}

// --- the tests ----------------------------------------------------------------------------------

let tests = 0
let failures = 0
function report(name, problems) {
  console.log(`${problems.length === 0 ? 'ok' : 'not ok'} ${++tests} ${name}`)
  for (const problem of problems) console.log(`#   ${problem}`)
  if (problems.length > 0) ++failures
}

// Chromium as root has no sandbox, nor where CHROME_NO_SANDBOX is set, which Marp heeds, too. The
// rest keeps it from calling home by itself.
const browser = await launch({
  executablePath: browserPath,
  args: [
    ...(process.getuid() === 0 || process.env.CHROME_NO_SANDBOX ? ['--no-sandbox'] : []),
    ...['--disable-gpu', '--disable-quic', '--no-first-run', '--hide-scrollbars'],
    ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  ],
})
const page = await browser.newPage()
await page.setViewport({ width: 1280, height: 720 })

const fetched = new Set()
const errors = []
await page.evaluateOnNewDocument(`window.contrast = ${contrast}`)
await page.setRequestInterception(true)
page.on('request', (request) => {
  const own = [deck, pathToFileURL(figures).href, 'data:', 'blob:']
  const here = own.some((start) => request.url().startsWith(start))
  if (!here) fetched.add(request.url())
  return here ? request.continue() : request.abort()
})
page.on('pageerror', (error) => errors.push(String(error)))

const number = () => page.evaluate(() => Number(location.hash.slice(1)))
const settled = (n) =>
  page.waitForFunction((n) => location.hash === `#${n}`, { timeout: 3000, polling: 20 }, n)
let slides = 0

for (const scheme of ['light', 'dark']) {
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
  await page.goto('about:blank')
  await page.goto(`${deck}#1`)
  const buttons = '.bespoke-marp-osc'
  await page.addStyleTag({ content: `${buttons} { display: none !important }` })
  slides = await page.evaluate(() => document.querySelectorAll('svg[data-marpit-svg]').length)
  const problems = []
  const keys = []
  const seen = new Set()
  for (let n = 1; n <= slides; n++) {
    if (n > 1) {
      await page.keyboard.press('ArrowRight')
      await settled(n).catch(() => keys.push(`the right arrow from ${n - 1} does not lead to ${n}`))
      if (keys.length > 0) break
    }
    const seenHere = await page.evaluate(lookAtSlide, n)
    problems.push(...seenHere.map((problem) => `slide ${n}: ${problem}`))
    const path = `${pictures}/${scheme}-${String(n).padStart(2, '0')}.png`
    seen.add(Buffer.from(await page.screenshot({ path })).toString('base64'))
  }
  report(`${scheme}: nothing on the ${slides} slides is outside, too small or too faint`, problems)
  const few = seen.size === slides ? [] : [`${seen.size} pictures of ${slides} slides`]
  report(`${scheme}: each slide has a picture of its own`, few)

  await page.keyboard.press('ArrowLeft')
  await settled(slides - 1).catch(() => keys.push('the left arrow does not lead back'))
  await page.goto('about:blank')
  await page.goto(`${deck}#7`)
  if ((await number()) !== 7) keys.push(`#7 leads to ${await number()}`)
  keys.push(...(await page.evaluate(lookAtSlide, 7)))
  report(`${scheme}: arrow keys and #n lead to a slide`, keys)

  const crowded = []
  for (const figure of readdirSync(figures).filter((name) => name.endsWith('.svg'))) {
    await page.goto(pathToFileURL(resolve(figures, figure)).href)
    for (const problem of await page.evaluate(lookAtFigure)) crowded.push(`${figure}: ${problem}`)
  }
  report(`${scheme}: no text of a figure is outside, in the way or too faint`, crowded)
}

await page.goto('about:blank')
await page.goto(deck)
const notes = await page.evaluate(() =>
  [...document.querySelectorAll('.bespoke-marp-note')].map((note) => note.textContent.trim()),
)
const speaking = notes.filter((note) => /^(Time: .*\n+)?Say: /.test(note)).length
report(
  'each slide has its speaker notes',
  speaking === slides ? [] : [`${speaking} notes that begin with "Say: " for ${slides} slides`],
)
const ragged = notes.flatMap((note) => note.split(/\n{2,}/)).filter((paragraph) => paragraph.includes('\n'))
report('a paragraph of the notes is one line, which the window breaks', ragged)

// D switches between light and dark, whatever the system says; the figures follow.
await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'light' }])
const paper = () =>
  page.evaluate(() => {
    const section = document.querySelector('section')
    return [getComputedStyle(section).backgroundColor, getComputedStyle(section.querySelector('[data-figure] .page')).fill]
  })
const themes = []
const other = await browser.newPage() // another window, as the presenter's is
await other.goto(`${deck}#1`)
await page.bringToFront()
const light = await paper()
await page.keyboard.press('d')
const dark = await paper()
if (dark[0] === light[0]) themes.push(`the paper stays ${light[0]}`)
if (dark[0] !== dark[1]) themes.push(`the paper is ${dark[0]}, the figure ${dark[1]}`)
const follows = () => document.documentElement.dataset.theme === 'dark'
await other.waitForFunction(follows, { timeout: 5000, polling: 50 }).catch(() => themes.push('another window does not follow'))
await other.close()
await page.reload()
if (String(await paper()) !== String(dark)) themes.push('it is forgotten when the page is loaded again')
await page.keyboard.press('d')
if (String(await paper()) !== String(light)) themes.push('a second D does not lead back')
report('D switches between light and dark', themes)

const language = await page.evaluate(() => document.documentElement.lang)
report('the page has its language, English', language === 'en' ? [] : [`it is "${language}"`])
report('there are no errors of scripts', errors)
report('nothing is fetched from elsewhere', [...fetched])
await browser.close()

// A PDF keeps its objects in compressed streams; each page is one of /Type /Page, and each line of the
// outline has a /Title, which the document has one of, too.
function readPdf(path) {
  const file = readFileSync(path)
  let objects = file.toString('latin1')
  for (const match of objects.matchAll(/<<([^<>]*\/ObjStm[^<>]*)>>\s*stream\r?\n/g)) {
    const start = match.index + match[0].length
    const length = Number(match[1].match(/\/Length (\d+)/)[1])
    objects += inflateSync(file.subarray(start, start + length)).toString('latin1')
  }
  const count = (pattern) => objects.match(pattern)?.length ?? 0
  return { pages: count(/\/Type\s*\/Page\b/g), outline: count(/\/Title\b/g) - 1 }
}
const printed = readPdf(pdf)
const missing = printed.pages === slides ? [] : [`${printed.pages} pages for ${slides} slides`]
if (printed.outline < slides) missing.push(`its outline has ${printed.outline} lines for ${slides} slides`)
report('the PDF has a page and a line in its outline for each slide', missing)
const handout = readPdf(pdf.replace('slides.pdf', 'handout.pdf'))
const short = handout.pages * 5 >= slides && handout.pages < slides / 2 && handout.outline >= slides
report('the handout has some slides on each page, and all in its outline', short ? [] : [JSON.stringify(handout)])
const book = readPdf(pdf.replace('slides.pdf', 'book.pdf'))
const lessons = readdirSync('lessons').filter((name) => /^\d\d-/.test(name)).length
const bound = book.pages > 3 * lessons && book.outline > 6 * lessons
report('the book has pages of all lessons, and an outline', bound ? [] : [`${JSON.stringify(book)}, ${lessons} lessons`])

console.log(`1..${tests}`)
process.exitCode = failures > 0 ? 1 : 0
