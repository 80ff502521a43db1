import { json, text } from 'node:stream/consumers'
import t from 'tap'
import { jsonStream } from '../../src/api/json-stream.js'

t.test('the JSON is that of JSON.stringify', async (t) => {
  for (const value of [
    [],
    [1, 'two', null, [3]],
    {},
    { name: 'web "x"', ports: [] },
    {
      name: 'web',
      none: undefined,
      ports: [{ hostPort: 1 }, { hostPort: 2, deep: [{}] }],
      last: 1,
    },
  ]) {
    t.equal(await text(jsonStream(value)), JSON.stringify(value))
  }
})

t.test('a long list comes in many pieces, and other work is done between them', async (t) => {
  const list = Array.from({ length: 200_000 }, (_, port) => ({ protocol: 'tcp', port }))
  let turns = 0
  const count = (): void => {
    turns++
    timer = setImmediate(count)
  }
  let timer = setImmediate(count)
  const result = (await json(jsonStream(list))) as unknown[]
  clearImmediate(timer)
  t.equal(result.length, list.length)
  t.ok(turns > 5, `${turns} turns`)
})
