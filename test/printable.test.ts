import t from 'tap'
import { printable, printableJson, printableLines } from '../src/printable.js'

const HOSTILE = 'a\u001b[2K\rb\u009b31m\u202eevil\nis free\u2028'

t.test('controls and directions of text are written out', async (t) => {
  t.equal(printable(HOSTILE), 'a\\x1b[2K\\x0db\\x9b31m\\u202eevil\\x0ais free\\u2028')
  t.equal(printable('plain ünïcode 中文 🐳'), 'plain ünïcode 中文 🐳')
})

t.test('a text of several lines keeps its lines', async (t) => {
  t.equal(printableLines('one\ntwo\u001b[A'), 'one\ntwo\\x1b[A')
})

t.test('JSON stays JSON with the same content', async (t) => {
  const json = JSON.stringify({ text: HOSTILE }, null, 2)
  t.notMatch(printableJson(json), /[\u007f-\u009f\u202e\u2028]/)
  t.same(JSON.parse(printableJson(json)), { text: HOSTILE })
})
