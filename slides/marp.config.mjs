// How Marp builds the slides: the page of HTML holds all it needs, and works without a network.
import { readFileSync } from 'node:fs'

// A figure becomes a part of the page. It stays an image of its own, so that its style is its own
// and follows the light or dark of its slide.
function inlineFigures(markdown) {
  markdown.core.ruler.push('inline_figures', ({ tokens }) => {
    for (const image of tokens.flatMap((token) => token.children ?? [])) {
      if (image.type !== 'image') continue
      const svg = readFileSync(new URL(image.attrGet('src'), import.meta.url))
      image.attrSet('src', `data:image/svg+xml;base64,${svg.toString('base64')}`)
    }
  })
}

// A transcript: each line is an element, so that the theme can tell what is typed from what a
// program says, and can indent the rest of a line that is too long. A short transcript gets bigger
// letters, a long one smaller ones.
function showTranscripts(markdown) {
  const { fence } = markdown.renderer.rules
  markdown.renderer.rules.fence = (tokens, index, ...rest) => {
    const { info, content } = tokens[index]
    if (!/^console( |$)/.test(info)) return fence(tokens, index, ...rest)
    const written = content.trimEnd().split('\n')
    const narrow = written.every((line) => line.length <= 56)
    const size = written.length > 11 ? 'long' : written.length < 8 && narrow ? 'short' : ''
    const lines = written.map((line) => {
      const [, prompt, text] = line.match(/^([A-Z](?:\^[A-Z]|.))(.*)$/)
      const kind = prompt[1] === '|' ? 'said' : 'typed'
      const words = `<b>${prompt}</b>${markdown.utils.escapeHtml(text)}`
      return `<span class="${kind} terminal-${prompt[0]}">${words}</span>`
    })
    return `<pre class="transcript ${size}"><code>${lines.join('\n')}</code></pre>\n`
  }
}

export default {
  themeSet: new URL('theme.css', import.meta.url).pathname,
  options: { emoji: { shortcode: false, unicode: false }, math: false }, // both need the network
  engine: ({ marp }) => marp.use(inlineFigures).use(showTranscripts),
}
