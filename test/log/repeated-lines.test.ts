import t from 'tap'
import { RepeatedLines } from '../../src/log/repeated-lines.js'

/** Lines as they are written, with the number of repetitions behind them. */
function open(intervalMs?: number): { lines: RepeatedLines; written: string[] } {
  const written: string[] = []
  const lines = new RepeatedLines(
    (line, fields) => written.push(line + (fields ? ` x${fields.repeated}` : '')),
    intervalMs,
  )
  return { lines, written }
}

t.test('300 equal lines become one, and one with their number', (t) => {
  const { lines, written } = open()
  for (let i = 0; i < 300; i++) lines.add('refused')
  lines.add('other')
  t.same(written, ['refused', 'other'])
  lines.flush()
  t.same(written, ['refused', 'other', 'refused x299'])
  lines.flush()
  lines.add('refused')
  t.same(written.slice(3), ['refused'], 'after a flush the line is new')
  lines.flush()
  t.end()
})

t.test('a line that goes on repeating is written once in each interval', async (t) => {
  const { lines, written } = open(1)
  const hasLength = async (length: number): Promise<void> => {
    // The timer does not keep the process alive.
    while (written.length < length) await new Promise((done) => setImmediate(done))
  }
  lines.add('refused')
  lines.add('refused')
  await hasLength(2)
  lines.add('refused')
  lines.add('refused')
  await hasLength(3)
  t.same(written, ['refused', 'refused x1', 'refused x2'])
  lines.flush()
})
