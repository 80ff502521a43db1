import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { LogTail } from '../../src/log/log-tail.js'

function filled(count: number): LogTail {
  const tail = new LogTail()
  for (let i = 1; i <= count; i++) tail.add('info', `line ${i}`, { time: i })
  return tail
}

/** The JSON of a line. */
const json = (n: number): string =>
  `{"pid":${process.pid},"n":${n},"line":{"level":30,"time":${n},"msg":"line ${n}"}}\n`

t.test('the newest lines are kept, the oldest first', (t) => {
  t.strictSame(filled(0).lines, [])
  for (const count of [1, 255, 256, 257, 512, 600]) {
    const { lines, count: last } = filled(count)
    t.equal(last, count)
    t.equal(lines.length, Math.min(count, 256))
    const numbers = lines.map(({ n }) => n)
    t.strictSame(
      numbers,
      numbers.map((_, i) => count - numbers.length + 1 + i),
    )
    t.strictSame(lines.at(-1)?.line, { level: 30, time: count, msg: `line ${count}` })
  }
  t.end()
})

t.test('a reader gets the lines after a number, and the others, until it leaves', async (t) => {
  const tail = filled(3)
  const stream = tail.follow(1).setEncoding('utf8')
  let read = ''
  stream.on('data', (chunk: string) => (read += chunk))
  tail.add('info', 'line 4', { time: 4 })
  await nextTurn()
  t.equal(read, `{"pid":${process.pid},"newest":3}\n${json(2)}${json(3)}${json(4)}`)
  stream.destroy()
  await nextTurn()
  tail.add('info', 'line 5', { time: 5 })
  t.equal(read, `{"pid":${process.pid},"newest":3}\n${json(2)}${json(3)}${json(4)}`)
})

t.test('a reader that does not read is left', async (t) => {
  const add = (tail: LogTail): void => {
    for (let i = 0; i < 100; i++) tail.add('info', 'x'.repeat(20_000), { time: i })
  }
  const [early, late] = [filled(0), filled(0)]
  const streams = [early.follow(0)]
  for (const tail of [early, late]) add(tail)
  streams.push(late.follow(0))
  await nextTurn()
  for (const stream of streams) t.ok(stream.destroyed)
})
