import { closeSync, existsSync } from 'node:fs'
import { constants } from 'node:os'
import t, { type Test } from 'tap'
import { requireSyscalls } from '../../../src/linux/ffi/syscalls.js'
import { F, MSG, SOCK } from '../../../src/linux/ffi/constants.js'
import { requireFfi } from '../../../src/linux/ffi/ffi.js'
import { openPortSocket } from '../../../src/linux/sockets/port-socket.js'
import { localAddress } from '../../../src/linux/sockets/endpoints.js'
import type { Proxy } from '../../../src/proxy/engine.js'
import { openNativeEngine } from '../../../src/proxy/native/engine.js'
import type { SocketAddress } from '../../../src/linux/sockets/socket-address.js'
import { listen, type Listening, type ListenOptions } from '../../lib/listen.js'
import { MemoryLog } from '../../lib/memory-log.js'
import { rawCalls } from '../../lib/raw-sockets.js'
import { until } from '../../lib/until.js'

const { EAGAIN, ECONNRESET } = constants.errno
const hasSctp = existsSync('/proc/net/sctp')
const needsSctp = { skip: !hasSctp && 'this kernel has no SCTP' }
const engine = openNativeEngine(new MemoryLog())
const publish = (
  t: Test,
  container: SocketAddress,
  options: ListenOptions = {},
): Promise<Listening> => listen(t, engine, container, { protocol: 'sctp', ...options })

t.test('a kernel without SCTP refuses', { skip: hasSctp && 'it has SCTP' }, async (t) => {
  for (const [ip, address] of [
    ['127.0.0.1', '127.0.0.1:80'],
    ['::1', '[::1]:80'],
  ] as const) {
    await t.rejects(publish(t, { ip: '127.0.0.1', port: 80 }, { ip, port: 80 }), {
      code: 'EPROTONOSUPPORT',
      message: `failed to listen on ${address}: protocol not supported`,
      hint: 'this kernel has no sctp: load its module, for example with modprobe sctp',
    })
  }
})

/** A proxy, a client through it, and the accepted connection of the server. */
async function join(
  t: Test,
  ip = '127.0.0.1',
  handedOver = false,
): Promise<{ proxy: Proxy; client: number; server: number }> {
  const raw = rawCalls()
  const backend = openPortSocket({ protocol: 'sctp', ip, port: 0 })
  requireSyscalls().fcntl(backend, F.SETFL, SOCK.NONBLOCK)
  t.teardown(() => closeSync(backend))
  const container = { ip, port: localAddress(backend)?.port ?? 0 }
  const { proxy } = await publish(t, container, {
    ip,
    ...(handedOver ? { listenFd: openPortSocket({ protocol: 'sctp', ip, port: 0 }) } : {}),
  })
  const client = raw.connect(proxy.address.port, ip, 'sctp')
  const server = await raw.accept(backend)
  return { proxy, client, server }
}

for (const ip of ['127.0.0.1', '::1']) {
  for (const handedOver of [false, true]) {
    const name = `SCTP over ${ip}${handedOver ? ', by a listening socket handed over' : ''}`
    t.test(name, needsSctp, async (t) => {
      const raw = rawCalls()
      const { proxy, client, server } = await join(t, ip, handedOver)
      // Several messages at once: each read returns one.
      for (const text of ['one', 'two', 'three']) t.equal(raw.send(client, text), text.length)
      for (const text of ['one', 'two', 'three']) t.equal(await raw.next(server), text)
      raw.send(server, 'answer')
      t.equal(await raw.next(client), 'answer')
      raw.end(client)
      t.equal(await raw.next(server), '')
      await until(() => proxy.counters.active === 0)
      raw.close(server)
      raw.close(client)
    })
  }
}

t.test('SCTP: earlier data arrives, whichever side ends', needsSctp, async (t) => {
  const raw = rawCalls()
  for (const ends of ['client', 'server'] as const) {
    const joined = await join(t)
    const [first, other] =
      ends === 'client' ? [joined.client, joined.server] : [joined.server, joined.client]
    for (let i = 0; i < 50; i++) raw.send(first, `message ${i}`)
    raw.close(first)
    for (let i = 0; i < 50; i++) t.equal(await raw.next(other), `message ${i}`)
    t.equal(await raw.next(other), '', `the ${ends} ends`)
    raw.close(other)
    await until(() => joined.proxy.counters.active === 0)
  }
})

t.test('SCTP: an abort is passed on', needsSctp, async (t) => {
  const raw = rawCalls()
  for (const aborts of ['client', 'server'] as const) {
    const joined = await join(t)
    const [first, other] =
      aborts === 'client' ? [joined.client, joined.server] : [joined.server, joined.client]
    raw.send(first, 'hello')
    t.equal(await raw.next(other), 'hello')
    raw.reset(first)
    t.equal(await raw.next(other), -ECONNRESET, `the ${aborts} aborts`)
    raw.close(other)
    await until(() => joined.proxy.counters.active === 0)
  }
})

t.test(
  'SCTP: a backend without a listener ends the client, and is reported',
  needsSctp,
  async (t) => {
    const raw = rawCalls()
    const gone = openPortSocket({ protocol: 'sctp', ip: '127.0.0.1', port: 0 })
    const port = localAddress(gone)?.port ?? 0
    closeSync(gone)
    const { proxy, log } = await publish(t, { ip: '127.0.0.1', port })
    const client = raw.connect(proxy.address.port, '127.0.0.1', 'sctp')
    await until(() => proxy.counters.failedDials === 1)
    t.equal(await raw.next(client), '')
    t.match(log.lines, [`127.0.0.1:${port}: connect: connection refused`])
    raw.close(client)
    t.equal(proxy.counters.active, 0)
  },
)

t.test('SCTP: many large messages both ways, more than the buffers take', needsSctp, async (t) => {
  const { proxy, client, server } = await join(t)
  const syscalls = requireSyscalls()
  const message = Buffer.alloc(40_000)
  const read = Buffer.alloc(message.length)
  const { addressOf } = requireFfi()
  const COUNT = 200
  const transfer = async (from: number, to: number): Promise<void> => {
    let sent = 0
    let received = 0
    while (received < COUNT) {
      message.fill(sent % 256)
      while (
        sent < COUNT &&
        syscalls.send(from, addressOf(message), message.length, MSG.NOSIGNAL) > 0
      ) {
        message.fill(++sent % 256)
      }
      let count = -EAGAIN
      await until(() => (count = syscalls.receive(to, addressOf(read), read.length)) !== -EAGAIN)
      const isWhole = count === read.length && read.every((byte) => byte === received % 256)
      if (!isWhole) t.fail(`message ${received} of ${count} bytes`)
      received++
    }
  }
  await transfer(client, server)
  await transfer(server, client)
  t.equal(proxy.counters.bytesIn, COUNT * message.length)
  t.equal(proxy.counters.bytesOut, COUNT * message.length)
  syscalls.close(client)
  syscalls.close(server)
  await until(() => proxy.counters.active === 0)
})
