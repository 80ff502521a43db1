import type { Worker } from 'node:worker_threads'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { countOpenDescriptors } from '../../../src/linux/proc/descriptors.js'
import { dial, exchange, readBytes, startBackend, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'
import { startWorkers } from '../../lib/workers.js'

async function echoed(t: Test, client: Socket, text: string): Promise<void> {
  client.write(text)
  t.equal(await readBytes(client, text.length), text)
}

const isOpen = (socket: Socket): boolean => !socket.destroyed && socket.readable

t.test('connections that are there move to a new worker, and go on', async (t) => {
  const { workers, publish, add } = startWorkers(t, 2)
  const proxy = await publish(await startEcho(t))
  const clients = await Promise.all(Array.from({ length: 10 }, () => dial(t, proxy.address.port)))
  for (const client of clients) await echoed(t, client, 'before')
  await add()
  for (const client of clients) await echoed(t, client, 'and after')
  t.equal(proxy.counters.active, 10)

  workers.stop()
  await until(() => proxy.counters.active === 5)
  await until(() => clients.filter(isOpen).length === 5)
  for (const client of clients.filter(isOpen)) await echoed(t, client, 'still')
  for (const client of clients) client.destroy()
  await until(() => proxy.counters.active === 0)
  t.equal(proxy.counters.accepted, 10)
})

t.test('the thread with the fewest connections gets the next', async (t) => {
  const { workers, publish, add } = startWorkers(t, 3)
  const proxy = await publish(await startEcho(t))
  await add()
  await add()
  const clients: Socket[] = []
  for (let i = 0; i < 9; i++) {
    const client = await dial(t, proxy.address.port)
    await echoed(t, client, 'hello')
    clients.push(client)
  }
  workers.stop()
  await until(() => clients.filter(isOpen).length === 3)
  await until(() => proxy.counters.active === 3)
})

t.test('there are no more threads than there may be, and none for one', async (t) => {
  const { workers, log, add } = startWorkers(t, 2)
  await add()
  workers.add()
  t.equal(workers.count, 1)
  const alone = startWorkers(t, 1)
  alone.workers.add()
  t.equal(alone.workers.count, 0)
  t.same(log.lines, ['Busy: one more thread shares the work'])
})

t.test('an unreachable backend is reported by a worker', async (t) => {
  const { log, publish, add } = startWorkers(t, 2)
  const backend = await startEcho(t)
  const proxy = await publish(backend)
  await add()
  await new Promise((done) => backend.server.close(done))
  const client = await dial(t, proxy.address.port)
  await until(() => proxy.counters.failedDials === 1)
  await until(() => !isOpen(client))
  const address = `${backend.ip}:${backend.port}`
  t.match(
    log.lines.at(-1),
    `Can't forward traffic to backend tcp/${address}: dial tcp ${address}: connect: connection refused`,
  )
})

t.test(
  "a report that can't be handled ends one connection, and the other reports are handled",
  async (t) => {
    const { workers, log, publish, add } = startWorkers(t, 2)
    const proxy = await publish(await startEcho(t))
    const deaf = await publish({ ip: '127.0.0.1', port: 70_000 })
    await add()
    const held = await dial(t, proxy.address.port)
    await echoed(t, held, 'the main thread has this one')
    log.error = (message) => {
      log.error = (text) => void log.lines.push(text)
      throw new Error(`no room for ${message}`)
    }
    await dial(t, deaf.address.port)
    await until(() => log.lines.some((line) => line.includes('no room for')))
    t.equal(await exchange(t, proxy.address.port, 'still'), 'still')
    t.equal(workers.count, 1)
  },
)

t.test('workers with nothing to do end, and come back', async (t) => {
  const idleMs = 50
  const { workers, publish, add } = startWorkers(t, 3, idleMs)
  const before = countOpenDescriptors()
  const proxy = await publish(await startEcho(t))
  const clients = [await dial(t, proxy.address.port), await dial(t, proxy.address.port)]
  for (const client of clients) await echoed(t, client, 'hello')
  await add()
  await add()
  // Of three threads, the last one gets no connection.
  await until(() => workers.count === 1)
  t.equal(await exchange(t, proxy.address.port, 'still'), 'still', 'one with a connection stays')
  for (const client of clients) client.destroy()
  await until(() => workers.count === 0)
  t.equal(await exchange(t, proxy.address.port, 'alone'), 'alone')
  await add()
  t.equal(await exchange(t, proxy.address.port, 'again'), 'again')
  await until(() => workers.count === 0)
  proxy.stop()
  await until(() => countOpenDescriptors() <= before + 1)
})

t.test('a worker that dies takes its connections along, and no more', async (t) => {
  const { workers, log, publish, add } = startWorkers(t, 2)
  const servers: Socket[] = []
  const backend = await startBackend(t, (socket) => servers.push(socket.resume()))
  const proxy = await publish(backend)
  let thread: Worker | undefined
  process.once('worker', (worker) => (thread = worker))
  await add()
  const clients: Socket[] = []
  // If two threads have equally many, the main thread gets the next: the worker has two of five, and gets the sixth.
  for (let i = 0; i < 5; i++) clients.push((await dial(t, proxy.address.port)).resume())
  await until(() => servers.length === 5)

  // A notice that the worker can't handle, before that of the next port.
  thread?.postMessage(null)
  const broken = await publish({ ip: backend.ip, port: backend.port })
  const victim = await dial(t, broken.address.port)
  await until(() => workers.count === 0)
  t.match(log.lines.at(-1), /^A worker of the proxy has failed, and the others go on: /)
  await until(() => !isOpen(victim))
  await until(() => clients.filter(isOpen).length === 3)
  await until(() => servers.filter(isOpen).length === 3)
  t.equal(proxy.counters.active, 3)
  t.equal(broken.counters.active, 0)

  clients.push((await dial(t, proxy.address.port)).resume())
  await until(() => servers.length === 6)
  workers.add()
  t.equal(workers.count, 0, 'the next is not tried at once')
})
