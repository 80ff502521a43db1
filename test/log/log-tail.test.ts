import { text } from 'node:stream/consumers'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { LogTail } from '../../src/log/log-tail.js'

function filled(count: number): LogTail {
  const tail = new LogTail()
  for (let i = 0; i < count; i++) tail.add('info', `line ${i}`, { time: i })
  return tail
}

t.test('the newest lines are kept, the oldest first', (t) => {
  t.strictSame(filled(0).lines, [])
  t.strictSame(filled(2).lines, [
    { level: 30, time: 0, msg: 'line 0' },
    { level: 30, time: 1, msg: 'line 1' },
  ])
  const { lines } = filled(600)
  t.equal(lines.length, 256)
  t.equal(lines[0]?.msg, 'line 344')
  t.equal(lines.at(-1)?.msg, 'line 599')
  t.end()
})

t.test('a stream has the last of them, and ends', async (t) => {
  t.equal(
    await text(filled(3).stream(2, false)),
    '{"level":30,"time":1,"msg":"line 1"}\n{"level":30,"time":2,"msg":"line 2"}\n',
  )
  t.equal(await text(filled(3).stream(0, false)), '')
})

t.test('a reader that follows gets the others, until it leaves', async (t) => {
  const tail = filled(1)
  const stream = tail.stream(Infinity, true).setEncoding('utf8')
  let read = ''
  stream.on('data', (chunk: string) => (read += chunk))
  tail.add('warn', 'new', { time: 7, port: '1' })
  await nextTurn()
  t.equal(
    read,
    '{"level":30,"time":0,"msg":"line 0"}\n\n{"level":40,"time":7,"port":"1","msg":"new"}\n',
  )
  stream.destroy()
  await nextTurn()
  tail.add('warn', 'later', { time: 8 })
  t.notMatch(read, 'later')
})

t.test('a reader that does not read is left', async (t) => {
  const tail = filled(0)
  const stream = tail.stream(0, true)
  let isClosed = false
  stream.once('close', () => (isClosed = true))
  for (let i = 0; i < 100; i++) tail.add('info', 'x'.repeat(20_000), { time: i })
  await nextTurn()
  t.ok(isClosed)
})
