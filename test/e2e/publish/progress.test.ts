import { createServer } from 'node:net'
import { once } from 'node:events'
import { execa } from 'execa'
import t from 'tap'
import { freeRow } from '../../lib/free-row.js'
import { PUBLISH, startDaemon } from '../../lib/publish.js'

/* The progress of `add` with many ports. */

const COUNT = 12
const isolation = 'process' as const

t.test('the daemon reports how many ports are served', async (t) => {
  const daemon = await startDaemon(t)
  const first = freeRow(COUNT)
  const ports = [`127.0.0.1:${first}-${first + COUNT - 1}:1-${COUNT}`]
  const seen: { ready: number; all: number }[] = []
  const view = await daemon.client.add(
    { name: 'many', backend: '127.0.0.1', ports, isolation },
    (ready, all) => seen.push({ ready, all }),
  )
  t.equal(view.ports.length, COUNT)
  t.ok(seen.length > 0)
  t.ok(seen.every(({ ready, all }) => ready > 0 && ready <= COUNT && all === COUNT))
  const ready = seen.map((each) => each.ready)
  t.strictSame(
    ready,
    ready.toSorted((a, b) => a - b),
  )
  t.strictSame(await daemon.client.get('many'), view)
})

t.test('a refusal is the same as without progress', async (t) => {
  const daemon = await startDaemon(t)
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const { port } = holder.address() as { port: number }
  const refused = async (ports: string, onProgress?: () => void): Promise<unknown> =>
    daemon.client.add({ backend: '127.0.0.1', ports: [ports] }, onProgress).then(
      () => 'published',
      (err: unknown) => err,
    )
  for (const ports of [`127.0.0.1:${port}:80`, 'nonsense']) {
    const [expected, err] = [await refused(ports), await refused(ports, () => undefined)]
    t.type(err, Error)
    t.strictSame(err, expected)
  }
  t.strictSame(await daemon.client.list(), [])
})

t.test('on a terminal there is a line, which is removed', async (t) => {
  const daemon = await startDaemon(t)
  const add = `${PUBLISH} add -p 127.0.0.1::1-60 --isolation process --name many 127.0.0.1`
  const env = { DOCKER_PUBLISH_HOST: daemon.host }
  // With its output on a terminal.
  const { stdout } = await execa('script', ['-qec', add, '/dev/null'], { env })
  const text = stdout.replaceAll('\r\x1b[K', '<line>')
  t.match(text, /<line>\d+ of 60 ports served<line>/)
  t.match(text, /served<line>many: 127\.0\.0\.1:\d+->/)
})
