import { closeSync, existsSync } from 'node:fs'
import { constants } from 'node:os'
import t, { type Test } from 'tap'
import { requireCalls } from '../../../src/linux/calls.js'
import { F, MSG, SOCK } from '../../../src/linux/constants.js'
import { requireFfi } from '../../../src/linux/ffi.js'
import { openPortSocket } from '../../../src/linux/port-socket.js'
import { localAddress } from '../../../src/linux/socket-name.js'
import { DescriptorBudget } from '../../../src/proxy/descriptor-budget.js'
import type { Proxy } from '../../../src/proxy/engine.js'
import { openNativeEngine } from '../../../src/proxy/native/engine.js'
import type { PublishedPort } from '../../../src/proxy/published-port.js'
import { MemoryLog } from '../../lib/memory-log.js'
import { rawCalls } from '../../lib/raw-calls.js'
import { until } from '../../lib/until.js'

const { EAGAIN, ECONNRESET } = constants.errno
const hasSctp = existsSync('/proc/net/sctp')
const needsSctp = { skip: !hasSctp && 'this kernel has no SCTP' }
const engine = openNativeEngine()
const context = { log: new MemoryLog(), descriptors: new DescriptorBudget() }
const port = (options: Partial<PublishedPort>): PublishedPort => ({
  protocol: 'sctp',
  hostIp: '127.0.0.1',
  hostPort: 0,
  containerIp: '127.0.0.1',
  containerPort: 80,
  ...options,
})

t.test('a kernel without SCTP refuses', { skip: hasSctp && 'it has SCTP' }, async (t) => {
  for (const [hostIp, address] of [
    ['127.0.0.1', '127.0.0.1:80'],
    ['::1', '[::1]:80'],
  ] as const) {
    await t.rejects(engine.listen(port({ hostIp, hostPort: 80 }), context), {
      code: 'EPROTONOSUPPORT',
      message: `failed to listen on ${address}: protocol not supported`,
      hint: 'this kernel has no sctp: load its module, as with modprobe sctp',
    })
  }
})

/** A proxy, and through it a client and the server that has accepted it. */
async function join(
  t: Test,
  ip = '127.0.0.1',
  handedOver = false,
): Promise<{ proxy: Proxy; client: number; server: number }> {
  const raw = rawCalls()
  const backend = openPortSocket('sctp', ip, 0)
  requireCalls().fcntl(backend, F.SETFL, SOCK.NONBLOCK)
  t.teardown(() => closeSync(backend))
  const published = port({
    hostIp: ip,
    containerIp: ip,
    containerPort: localAddress(backend)?.port ?? 0,
    ...(handedOver ? { listenFd: openPortSocket('sctp', ip, 0) } : {}),
  })
  const proxy = await engine.listen(published, context)
  t.teardown(() => proxy.close())
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
      // Several messages at once: a read brings no more than one.
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

t.test('SCTP: whoever ends, what was sent before arrives', needsSctp, async (t) => {
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
  'SCTP: a backend that nobody listens on ends the client, and is told',
  needsSctp,
  async (t) => {
    const raw = rawCalls()
    const gone = openPortSocket('sctp', '127.0.0.1', 0)
    const containerPort = localAddress(gone)?.port ?? 0
    closeSync(gone)
    const log = new MemoryLog()
    const proxy = await engine.listen(port({ containerPort }), { ...context, log })
    t.teardown(() => proxy.close())
    const client = raw.connect(proxy.address.port, '127.0.0.1', 'sctp')
    await until(() => proxy.counters.failedDials === 1)
    t.equal(await raw.next(client), '')
    t.match(log.lines, [`127.0.0.1:${containerPort}: connect: connection refused`])
    raw.close(client)
    t.equal(proxy.counters.active, 0)
  },
)

t.test('SCTP: many large messages both ways, more than the buffers take', needsSctp, async (t) => {
  const { proxy, client, server } = await join(t)
  const calls = requireCalls()
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
        calls.send(from, addressOf(message), message.length, MSG.NOSIGNAL) > 0
      ) {
        message.fill(++sent % 256)
      }
      let count = -EAGAIN
      await until(() => (count = calls.receive(to, addressOf(read), read.length)) !== -EAGAIN)
      const isWhole = count === read.length && read.every((byte) => byte === received % 256)
      if (!isWhole) t.fail(`message ${received} of ${count} bytes`)
      received++
    }
  }
  await transfer(client, server)
  await transfer(server, client)
  t.equal(proxy.counters.bytesIn, COUNT * message.length)
  t.equal(proxy.counters.bytesOut, COUNT * message.length)
  calls.close(client)
  calls.close(server)
  await until(() => proxy.counters.active === 0)
})
