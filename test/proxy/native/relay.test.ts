import { randomBytes } from 'node:crypto'
import { constants } from 'node:os'
import t, { type Test } from 'tap'
import { requireSyscalls } from '../../../src/linux/ffi/syscalls.js'
import { MSG } from '../../../src/linux/ffi/constants.js'
import { requireFfi } from '../../../src/linux/ffi/ffi.js'
import type { Proxy } from '../../../src/proxy/engine.js'
import { openNativeEngine } from '../../../src/proxy/native/engine.js'
import { listen } from '../../lib/listen.js'
import { MemoryLog } from '../../lib/memory-log.js'
import { rawCalls } from '../../lib/raw-sockets.js'
import { listeningDescriptor } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

const { EAGAIN, ECONNRESET, EPIPE } = constants.errno
const raw = rawCalls()

async function publish(
  t: Test,
): Promise<{ proxy: Proxy; log: MemoryLog; backend: number; connect: () => number }> {
  const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
  t.teardown(() => raw.close(fd))
  const engine = openNativeEngine(new MemoryLog())
  const { proxy, log } = await listen(t, engine, { ip: '127.0.0.1', port })
  return { proxy, log, backend: fd, connect: () => raw.connect(proxy.address.port) }
}

t.test('a backend that resets at once is heard, and is none that can not be reached', async (t) => {
  const { proxy, log, backend, connect } = await publish(t)
  for (let i = 0; i < 20; i++) {
    const client = connect()
    // With raw descriptors, all of it may happen before the proxy sees its connection established.
    const server = await raw.accept(backend)
    raw.send(server, 'go away')
    raw.reset(server)
    t.equal(await raw.next(client), 'go away')
    t.equal(await raw.next(client), -ECONNRESET)
    raw.close(client)
  }
  await until(() => proxy.counters.active === 0)
  t.same(log.lines, [])
  t.equal(proxy.counters.failedDials, 0)
})

t.test('a reset by a side that had ended is passed on as well', async (t) => {
  const { proxy, backend, connect } = await publish(t)
  for (const [resets, name] of [
    ['client', 'the client'],
    ['server', 'the backend'],
  ] as const) {
    const client = connect()
    const server = await raw.accept(backend)
    const [first, other] = resets === 'client' ? [client, server] : [server, client]
    raw.end(first)
    t.equal(await raw.next(other), '', `${name} ends`)
    raw.reset(first)
    // The kernel reports a reset after an end like this, see tcp_reset() in Linux.
    let error = 0
    await until(() => (error = raw.error(other)) !== 0)
    t.equal(error, EPIPE, `${name} resets`)
    raw.close(other)
  }
  await until(() => proxy.counters.active === 0)
})

t.test('a reset right after an end is passed on, even without writes', async (t) => {
  const { proxy, backend, connect } = await publish(t)
  for (let i = 0; i < 10; i++) {
    const client = connect()
    raw.send(client, 'hello')
    const server = await raw.accept(backend)
    t.equal(await raw.next(server), 'hello')
    raw.send(client, 'last words')
    raw.end(client)
    raw.reset(client)
    t.equal(await raw.next(server), 'last words')
    await until(() => proxy.counters.active === 0)
    raw.close(server)
  }
})

t.test('data before a reset arrives, even if it was not read yet', async (t) => {
  const { proxy, backend, connect } = await publish(t)
  const syscalls = requireSyscalls()
  const data = randomBytes(200_000)
  const read = Buffer.alloc(data.length)
  const { addressOf } = requireFfi()
  for (const resets of ['client', 'server'] as const) {
    const client = connect()
    const server = await raw.accept(backend)
    const [first, other] = resets === 'client' ? [client, server] : [server, client]
    await sendAll(first, data)
    raw.reset(first)
    // Other connections give the proxy time to notice it.
    for (let i = 0; i < 5; i++) {
      const neighbour = connect()
      const answering = await raw.accept(backend)
      raw.send(neighbour, 'hello')
      t.equal(await raw.next(answering), 'hello')
      raw.close(neighbour)
      t.equal(await raw.next(answering), '')
      raw.close(answering)
    }
    let received = 0
    let end = 0
    await until(() => {
      const left = Math.max(1, read.length - received)
      const count = syscalls.receive(other, addressOf(read) + received, left)
      if (count > 0) received += count
      else if (count !== -EAGAIN) end = count
      return count === 0 || end !== 0
    })
    t.equal(end, -ECONNRESET, `the ${resets} resets`)
    t.ok(read.equals(data), `all ${received} bytes`)
    raw.close(other)
  }
  await until(() => proxy.counters.active === 0)
})

t.test('a whole answer arrives, though its reader says something late', async (t) => {
  const { proxy, backend, connect } = await publish(t)
  const syscalls = requireSyscalls()
  const data = randomBytes(200_000)
  const read = Buffer.alloc(data.length)
  const { addressOf } = requireFfi()
  const client = connect()
  const server = await raw.accept(backend)
  await sendAll(server, data)
  raw.close(server)
  raw.send(client, 'one more')
  let received = 0
  let end = 1
  await until(() => {
    const count = syscalls.receive(client, addressOf(read) + received, 4096)
    if (count > 0) received += count
    else if (count !== -EAGAIN) end = count
    return end <= 0
  })
  t.equal(received, data.length)
  t.ok(read.equals(data))
  raw.close(client)
  await until(() => proxy.counters.active === 0)
})

/** Sends everything, until the other side's kernel has it. */
async function sendAll(fd: number, data: Buffer): Promise<void> {
  const syscalls = requireSyscalls()
  const address = requireFfi().addressOf(data)
  let sent = 0
  await until(() => {
    sent += Math.max(0, syscalls.send(fd, address + sent, data.length - sent, MSG.NOSIGNAL))
    return sent === data.length && syscalls.unsentBytes(fd) === 0
  })
}
