import { closeSync } from 'node:fs'
import koffi from 'koffi'
import t, { type Test } from 'tap'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { loadCheckedSyscalls } from '../../../src/linux/ffi/checked-syscalls.js'
import { openPortSocket } from '../../../src/linux/sockets/port-socket.js'
import type { Proxy } from '../../../src/proxy/engine.js'
import { openNativeEngine } from '../../../src/proxy/native/engine.js'
import { bindUdp, receive, startUdpEcho } from '../../lib/datagrams.js'
import { listen, type ListenOptions } from '../../lib/listen.js'
import { MemoryLog } from '../../lib/memory-log.js'

const SHUT_RD = 0
const engine = openNativeEngine(new MemoryLog())

async function publish(t: Test, options: ListenOptions): Promise<Proxy> {
  const { ip, port } = await startUdpEcho(t)
  const all = { protocol: 'udp', ip: '0.0.0.0', ...options } as const
  return (await listen(t, engine, { ip, port }, all)).proxy
}

/** Sends to each address in turn, and expects the reply from the same address. */
async function askAll(t: Test, port: number, addresses: readonly string[]): Promise<void> {
  const client = await bindUdp(t, addresses[0])
  for (const address of [...addresses, ...addresses]) {
    const answer = receive(client.socket)
    client.socket.send(`to ${address}`, port, address)
    const { data, from } = await answer
    t.equal(data.toString(), `to ${address}`)
    t.equal(from.address, address, 'the answer leaves from the address that was asked')
    t.equal(from.port, port)
  }
}

t.test(
  'on a wildcard socket a reply leaves from the address that the client sent to',
  async (t) => {
    const v4 = await publish(t, {})
    await askAll(t, v4.address.port, ['127.0.0.1', '127.0.0.2', '127.3.2.1'])
    t.equal(v4.counters.accepted, 3, 'a flow for each way')
    const v6 = await publish(t, { ip: '::' })
    await askAll(t, v6.address.port, ['::1'])
  },
)

t.test('on a dual-stack socket handed over as well', async (t) => {
  const socket = createSocket({ type: 'udp6', ipv6Only: false }).bind(0)
  await once(socket, 'listening')
  const state = Object.getOwnPropertySymbols(socket).find((s) => s.description === 'state symbol')
  const { handle } = (socket as unknown as Record<symbol, { handle: { fd: number } }>)[
    state ?? Symbol()
  ] ?? { handle: { fd: -1 } }
  const listenFd = loadCheckedSyscalls()?.duplicate(handle.fd) ?? -1
  const { port } = socket.address()
  socket.close()
  await publish(t, { listenFd })
  await askAll(t, port, ['127.0.0.1', '127.0.0.2'])
  await askAll(t, port, ['::1'])
})

t.test('datagrams that the backend sends together are delivered together', async (t) => {
  const backend = await bindUdp(t)
  const proxy = await publish(t, {
    ip: '127.0.0.1',
    container: { ip: backend.ip, port: backend.port },
  })
  const client = await bindUdp(t)
  const count = 100
  backend.socket.on('message', (_, from) => {
    for (let i = 0; i < count; i++) backend.socket.send(`answer ${i}`, from.port, from.address)
  })
  const got = new Set<string>()
  const all = new Promise<void>((resolve) =>
    client.socket.on('message', (data) => {
      got.add(data.toString())
      if (got.size === count) resolve()
    }),
  )
  client.socket.send('question', proxy.address.port, '127.0.0.1')
  await all
  t.equal(got.size, count)
})

t.test('a socket that was shut down is reported, and does not spin', async (t) => {
  const listenFd = openPortSocket({ protocol: 'udp', ip: '127.0.0.1', port: 0 })
  const copy = loadCheckedSyscalls()?.duplicate(listenFd) ?? -1
  const proxy = await publish(t, { listenFd })
  koffi.load(null).func('int shutdown(int fd, int how)')(copy, SHUT_RD)
  await t.rejects(proxy.closed, { code: 'EINVAL' })
  closeSync(copy)
})
