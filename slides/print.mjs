#!/usr/bin/env node
// slides/print.mjs handout|book MARP BROWSER OUT.pdf: what is made for paper. The handout has the
// slides with their notes beside them; the book has README.md and all lessons' pages, with the folded
// answers as an appendix. Both have an outline. MARP is where npm has put Marp, which brings the
// library that drives the browser, and a converter for Markdown.
import { createRequire } from 'node:module'
import { readFileSync, readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { deckPlugin } from './show.mjs'

const [what, marp, browserPath, out] = process.argv.slice(2)
if (!['handout', 'book'].includes(what) || !out) {
  console.error('usage: slides/print.mjs handout|book MARP BROWSER OUT.pdf')
  process.exit(2)
}
const require = createRequire(`${resolve(marp)}/`)
const top = new URL('../', import.meta.url)
const read = (path) => readFileSync(new URL(path, top), 'utf8')
const escape = (text) => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c])
const markdown = new (require('markdown-it'))({ html: true })

const document = (title, css, body) => `<!doctype html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>${title}</title><style>
@page { size: A4; margin: 16mm 14mm 18mm }
* { -webkit-print-color-adjust: exact; print-color-adjust: exact }
body { margin: 0; font: 10pt/1.42 "DejaVu Sans", system-ui, sans-serif; color: #16222e }
${css}</style></head><body>${body}</body></html>`

function handout() {
  const { Marp } = require('@marp-team/marp-core')
  const deck = new Marp({ script: false, emoji: { shortcode: false, unicode: false }, math: false }).use(deckPlugin)
  deck.themeSet.add(read('slides/theme.css'))
  const { html, css, comments } = deck.render(read('slides/slides.md'))
  const slides = html.split(/(?=<svg data-marpit-svg)/).slice(1)
  slides.push(slides.pop().replace(/<\/div>\s*$/, ''))
  const rows = slides.map((slide, i) => {
    const notes = comments[i].join('\n\n').split(/\n{2,}/).map((p) => markdown.renderInline(p))
    const told = notes.map((p) => `<p>${p.replace(/^(Say|Run|Look|Time|Keys|Students think|Before the lecture)([^.:]*): /, '<b>$1</b>$2: ')}</p>`)
    return `<div class="row"><div class="marpit">${slide}</div><div class="notes">${told.join('')}</div></div>`
  })
  return document(
    'TCP sockets, seen at work: the slides, with notes',
    `${css.replace(/@page\s*\{[^}]*\}/g, '') /* those of slides on a screen */}
.row { display: grid; grid-template-columns: 96mm 1fr; gap: 5mm; break-inside: avoid; margin-bottom: 5mm; padding-bottom: 4mm; border-bottom: 0.3mm solid #c7d4df }
.row .marpit > svg { display: block; width: 96mm; height: 54mm; border: 0.3mm solid #8fa9c2; box-sizing: border-box }
.notes { font-size: 8.6pt; line-height: 1.36 }
.notes p { margin: 0 0 1.6mm }
.notes code { font-size: 8pt }`,
    rows.join('\n'),
  )
}

function book() {
  const lessons = readdirSync(new URL('lessons/', top)).filter((name) => /^\d\d-/.test(name)).sort()
  const pages = [['README.md', 'start'], ...lessons.map((name) => [`lessons/${name}/README.md`, name])]
  const anchors = new Map(pages.map(([path, anchor]) => [new URL(path, top).href, anchor]))
  const answers = []
  const chapters = pages.map(([path, anchor]) => {
    const here = new URL(path, top)
    const number = anchor.slice(0, 2)
    let n = 0
    let html = markdown.render(read(path))
    // The way from page to page is for the screen.
    html = html.replace(/<p>Before: .*?<\/p>\s*$/s, '').replace(/<p>(Next: )?<a [^>]*>All lessons<\/a>.*?<\/p>\s*$/s, '')
    html = html.replace(/<details>\s*<summary>(.*?)<\/summary>(.*?)<\/details>/gs, (_, summary, answer) => {
      const id = `${anchor}-${++n}`
      answers.push({ anchor, number, id, n, answer })
      return `<p class="folded" id="to-${id}">${summary}: <a href="#answer-${id}">${number}.${n}</a>, at the end</p>`
    })
    html = html.replace(/<img src="([^"]*\.svg)"/g, (_, src) => {
      const svg = readFileSync(new URL(src, here)).toString('base64')
      return `<img src="data:image/svg+xml;base64,${svg}"`
    })
    html = html.replace(/href="(?!https?:)([^"#]*)(#[^"]*)?"/g, (_, to, place) => {
      const target = to ? anchors.get(new URL(to, here).href) : anchor
      return target ? `href="#${target}"` : 'class="file"'
    })
    return { anchor, html: `<section class="chapter" id="${anchor}">${html}</section>`, title: html.match(/<h1>(.*?)<\/h1>/s)?.[1] ?? anchor }
  })
  const contents = chapters.map(({ anchor, title }) => `<li><a href="#${anchor}">${title}</a></li>`).join('')
  const appendix = chapters
    .filter(({ anchor }) => answers.some((a) => a.anchor === anchor))
    .map(({ anchor, title }) => {
      const mine = answers.filter((a) => a.anchor === anchor)
      return `<h2>${title}</h2>${mine.map((a) => `<div class="answer" id="answer-${a.id}"><a href="#to-${a.id}">${a.number}.${a.n}</a><div>${a.answer}</div></div>`).join('')}`
    })
  return document(
    'TCP sockets, seen at work',
    `h1 { font-size: 20pt; margin: 0 0 4mm } h2 { font-size: 14pt; margin: 7mm 0 2mm; break-after: avoid } h3 { font-size: 11.5pt; margin: 5mm 0 1mm; break-after: avoid }
.chapter, .appendix { break-before: page }
pre { background: #f0f3f6; border-left: 1mm solid #8fa9c2; padding: 2mm 3mm; font: 7.6pt/1.38 "DejaVu Sans Mono", monospace; white-space: pre-wrap; break-inside: avoid-page }
code { font: 0.88em "DejaVu Sans Mono", monospace } pre code { font: inherit }
table { border-collapse: collapse; font-size: 9pt; margin: 3mm 0 } th, td { border: 0.2mm solid #b4c2cf; padding: 1mm 2mm; text-align: left; vertical-align: top } td code { overflow-wrap: anywhere }
img { width: 100%; max-height: 88mm; object-fit: contain } a { color: #0b5cad; text-decoration: none } a.file { color: inherit }
.folded { color: #45535f; font-style: italic } .contents { font-size: 12pt; line-height: 1.8 }
.answer { display: grid; grid-template-columns: 14mm 1fr; margin-bottom: 3mm } .answer > div > :first-child { margin-top: 0 }
.cover { font-size: 30pt; margin-top: 40mm }`,
    `<p class="cover"><b>TCP sockets, seen at work</b></p><p>The pages of all lessons. Each transcript in this book was
played by a test. The answers are at the end: guess before you look.</p><ul class="contents">${contents}<li><a href="#answers">Answers</a></li></ul>
${chapters.map((c) => c.html).join('\n')}
<section class="appendix" id="answers"><h1>Answers</h1>${appendix.join('\n')}</section>`,
  )
}

const { launch } = require('puppeteer-core')
const browser = await launch({
  executablePath: browserPath,
  args: [
    ...(process.getuid() === 0 || process.env.CHROME_NO_SANDBOX ? ['--no-sandbox'] : []),
    ...['--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
  ],
})
const page = await browser.newPage()
await page.emulateMediaType('screen') // Marp's rules for print make each slide a page
await page.setContent(what === 'handout' ? handout() : book())
// A link that leads nowhere, or a figure that is not shown, is a mistake here.
const lost = await page.evaluate(() => [
  ...[...document.querySelectorAll('a[href^="#"]')].map((a) => a.getAttribute('href')).filter((to) => !document.getElementById(to.slice(1))),
  ...[...document.images].filter((image) => !image.complete || !image.naturalWidth).map((image) => image.alt),
])
if (lost.length) throw new Error(`lost on the way: ${lost.join(', ')}`)
await page.pdf({
  path: out,
  preferCSSPageSize: true,
  printBackground: true,
  tagged: true,
  outline: true,
  displayHeaderFooter: true,
  headerTemplate: '<span></span>',
  footerTemplate: '<div style="font: 8pt sans-serif; width: 100%; text-align: center; color: #45535f"><span class="pageNumber"></span></div>',
})
await browser.close()
