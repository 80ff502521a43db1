import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { liveHeap } from '../../lib/live-heap.js'
import { openDescriptors } from '../../lib/proc.js'
import { leftovers, startDaemon } from '../../lib/publish.js'
import { until } from '../../lib/until.js'

t.test('many publications come and go, and leave nothing behind', async (t) => {
  const heap = liveHeap(t)
  const daemon = await startDaemon(t, heap, '--log-level', 'error')
  const { pid } = daemon.running
  const round = async (count: number): Promise<void> => {
    const names = await Promise.all(
      Array.from({ length: count }, async () => {
        const { name } = await daemon.client.add({ backend: '127.0.0.1', ports: ['127.0.0.1::80'] })
        return name
      }),
    )
    await Promise.all(names.map((name) => daemon.client.remove(name)))
  }
  await round(10)
  const before = openDescriptors(pid)
  for (let i = 0; i < 9; i++) await round(10)
  const growths: number[] = []
  for (let phase = 0; phase < 4; phase++) {
    const held = await heap.ask(pid)
    for (let i = 0; i < 10; i++) await round(10)
    growths.push((await heap.ask(pid)) - held)
  }
  // A table that doubles its size is a step in one phase. A leak is in each of them.
  const least = Math.min(...growths)
  t.ok(least < 200 * 1024, `${least} bytes more are held after 100 more`)
  await until(() => openDescriptors(pid) <= before)
  t.same(await daemon.client.list(), [])
  t.same(leftovers(daemon.folder), [])
  t.same(readdirSync(join(daemon.folder, 'exec')), [])
})
