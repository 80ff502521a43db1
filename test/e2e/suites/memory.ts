import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { memoryFigure } from '../../lib/proc.js'
import { stop } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { dial, listeningDescriptor, readAll, startBackend, writeRandom } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

const MIB = 1024 * 1024
const BOUND = 150 * MIB
/** Connections at a time. */
const BURST = 1_000

/** Writes without waiting for the other side. The sender's memory is not measured. */
function push(socket: Socket, size: number): void {
  const block = Buffer.alloc(8 * MIB, 'x')
  for (let sent = 0; sent < size; sent += block.length) socket.write(block)
}

export function memorySuite(t: Test, target: Target): void {
  t.test(
    '1 GiB pushed at a backend that reads 1 MiB at a time is held back, not kept',
    async (t) => {
      const { promise, resolve } = withResolvers<Socket>()
      const backend = await startBackend(t, (socket) => resolve(socket.pause()))
      const running = await target.startProxy(t, backend)
      const client = await dial(t, running.port)
      push(client, 1024 * MIB)
      const reader = await promise
      let quota = 0
      reader.on('data', (chunk: Buffer) => {
        quota -= chunk.length
        if (quota <= 0) reader.pause()
      })
      for (let turns = 0; turns < 8; turns++) {
        quota += MIB
        reader.resume()
        await until(() => quota <= 0)
        await stalled(client)
      }
      const peak = memoryFigure(target.serverOf(running.pid), 'VmHWM')
      t.comment(`peak ${(peak / MIB).toFixed(0)} MiB`)
      t.ok(peak < BOUND, `peak of ${peak} bytes`)
      client.destroy()
      await stop(running)
    },
  )

  for (const engine of target.engines) {
    t.test(`memory returns after bursts, ${engine}`, async (t) => {
      const backend = await startBackend(t, (socket) => socket.pipe(socket))
      const env = { DOCKER_PROXY_ENGINE: engine }
      const running = await target.startProxy(t, backend, { env })
      const burst = async (): Promise<void> => {
        const clients = await Promise.all(
          Array.from({ length: BURST }, () => dial(t, running.port)),
        )
        for (const client of clients) client.end('x')
        await Promise.all(clients.map(readAll))
      }
      const memory = (): number => memoryFigure(target.serverOf(running.pid), 'RssAnon')
      // What is compiled and kept for reuse comes first, and goes with the burst.
      await burst()
      const peak = memory()
      await until(() => memory() < peak - MIB)
      const used = memory()
      for (let i = 0; i < 4; i++) await burst()
      await until(() => memory() < used + 8 * MIB)
      await stop(running)
    })
  }

  t.test('a client that sends before the backend answers is not read ahead', async (t) => {
    const silent = await listeningDescriptor(t, { host: '127.0.0.1', backlog: 1 })
    await dial(t, silent.port)
    await dial(t, silent.port)
    const running = await target.startProxy(t, { ip: '127.0.0.1', port: silent.port })
    const before = memoryFigure(target.serverOf(running.pid), 'VmHWM')
    const client = await dial(t, running.port)
    const written = writeRandom(client, 64 * MIB)
    // The process that gets the listening socket also accepts the connections that fill its backlog.
    const hash = createHash('sha256')
    const done = withResolvers<string>()
    let connections = 0
    const { createServer } = await import('node:net')
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      if (++connections < 3) return void socket.resume()
      socket.on('data', (chunk) => hash.update(chunk))
      socket.on('end', () => done.resolve(hash.digest('hex')))
    })
    t.teardown(() => server.close())
    await stalled(client)
    const growth = memoryFigure(target.serverOf(running.pid), 'VmHWM') - before
    t.ok(growth < 32 * MIB, `grew by ${growth} bytes`)
    server.listen({ fd: silent.fd })
    t.equal(await done.promise, await written)
    client.destroy()
    await stop(running)
  })

  /** No event reports that a socket accepts no more data: this waits until the figure has not changed for long. */
  async function stalled(socket: Socket): Promise<void> {
    let same = 0
    let sent = -1
    await until(() => {
      const now = socket.bytesWritten - socket.writableLength
      same = now === sent ? same + 1 : 0
      sent = now
      return same >= 50
    })
  }

  function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
    let resolve!: (value: T) => void
    const promise = new Promise<T>((ok) => (resolve = ok))
    return { promise, resolve }
  }
}
