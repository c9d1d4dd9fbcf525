// How Marp builds the slides: the page of HTML holds all it needs, and works without a network.
import { deckPlugin } from './show.mjs'

export default {
  themeSet: new URL('theme.css', import.meta.url).pathname,
  options: { emoji: { shortcode: false, unicode: false }, math: false }, // both need the network
  engine: ({ marp }) => marp.use(deckPlugin),
}
