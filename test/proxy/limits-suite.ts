import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { OPTION } from '../../src/linux/ffi/constants.js'
import { requireSyscalls } from '../../src/linux/ffi/syscalls.js'
import type { Engine } from '../../src/proxy/engine.js'
import { DEFAULT_PORT_OPTIONS } from '../../src/proxy/port-options.js'
import { ask, bindUdp, receive, startUdpEcho } from '../lib/datagrams.js'
import { listen } from '../lib/listen.js'
import { RecordingObserver } from '../lib/recording-observer.js'
import {
  breakage,
  dial,
  exchange,
  isAnswered,
  readAll,
  readBytes,
  readHash,
  startBackend,
  startEcho,
} from '../lib/sockets.js'
import { until } from '../lib/until.js'

/** Bytes that take over an hour at the lowest bandwidth. */
const BULK = 4 * 1024 * 1024
/** Bytes per second. */
const LOWEST_BANDWIDTH = 1_000
/** One connection in a quarter of an hour, and the first one at once. */
const SELDOM = 1 / 900

/** Limits of a port, as every engine has to follow them, tested with real sockets. */
export function limitsSuite(engine: Engine): void {
  t.test('each client has as many connections as allowed, and others have their own', async (t) => {
    const perAddress = { connections: 2, ipv4Bits: 32, ipv6Bits: 64 }
    const options = { portOptions: { maxConnectionsPerNetwork: perAddress } }
    const { proxy, port } = await listen(t, engine, await startEcho(t), options)
    const first = await openConnection(t, port)
    await openConnection(t, port)
    t.equal(await isAnswered(await dial(t, port)), false)
    t.equal(proxy.counters.excessClients, 1)
    await openConnection(t, port, '127.0.0.2')
    first.destroy()
    await until(() => proxy.counters.active === 2)
    await openConnection(t, port)
    // From now on both addresses are one network, and it is full.
    const network = { connections: 3, ipv4Bits: 8, ipv6Bits: 64 }
    proxy.changeOptions({ ...DEFAULT_PORT_OPTIONS, maxConnectionsPerNetwork: network })
    t.equal(await isAnswered(await dial(t, port)), false)
    proxy.changeOptions(DEFAULT_PORT_OPTIONS)
    t.equal(await exchange(t, port, 'no limit'), 'no limit')
  })

  t.test('clients that come too fast wait', async (t) => {
    const options = { portOptions: { maxConnectionRate: SELDOM } }
    const { proxy, port } = await listen(t, engine, await startEcho(t), options)
    await openConnection(t, port)
    const second = await dial(t, port)
    second.write('x')
    await until(() => second.bytesWritten === 1)
    t.match(proxy.counters, { accepted: 1, excessClients: 0 })
    proxy.changeOptions({ ...DEFAULT_PORT_OPTIONS, maxConnectionRate: 2 })
    t.equal(await readBytes(second, 1), 'x')
    // More than belong to one second: the last ones wait, and nothing but the time lets them in.
    for (let i = 0; i < 3; i++) await openConnection(t, port)
    t.match(proxy.counters, { accepted: 5, excessClients: 0 })
  })

  t.test('or are refused', async (t) => {
    const options = { portOptions: { maxConnectionRate: SELDOM, whenFull: 'refuse' } } as const
    const { proxy, port } = await listen(t, engine, await startEcho(t), options)
    await openConnection(t, port)
    t.equal(await isAnswered(await dial(t, port)), false)
    t.match(proxy.counters, { accepted: 1, excessClients: 1 })
  })

  for (const [name, way] of [
    ['from', 'maxBandwidthIn'],
    ['to', 'maxBandwidthOut'],
  ] as const) {
    t.test(`data ${name} clients is as fast as allowed, and complete`, async (t) => {
      const data = randomBytes(BULK)
      const servers: Socket[] = []
      const backend = await startBackend(t, (socket) => servers.push(socket))
      const { proxy, port } = await listen(t, engine, backend, {
        portOptions: { [way]: LOWEST_BANDWIDTH },
      })
      const { port: unlimited } = await listen(t, engine, await startEcho(t))
      const client = await dial(t, port)
      await until(() => servers.length === 1)
      const server = servers[0] as Socket
      const [sender, receiver] = way === 'maxBandwidthIn' ? [client, server] : [server, client]
      const received = readHash(receiver)
      sender.end(data)
      await until(() => receiver.bytesRead > 0)
      t.equal(await exchange(t, unlimited, 'another port'), 'another port')
      t.ok(receiver.bytesRead < BULK, `${receiver.bytesRead} bytes`)
      // The other direction has no limit.
      receiver.write('answer')
      t.equal(await readBytes(sender, 6), 'answer')
      proxy.changeOptions(DEFAULT_PORT_OPTIONS)
      const hash = createHash('sha256').update(data).digest('hex')
      t.same(await received, { hash, size: BULK })
      receiver.end()
      await until(() => proxy.counters.active === 0)
    })
  }

  t.test('connections share the bandwidth, and those that end give it back', async (t) => {
    const received = [0, 0, 0]
    const backend = await startBackend(t, (socket) => {
      const at = received.indexOf(0)
      received[at] = 1
      socket.on('data', (data) => (received[at] = (received[at] ?? 0) + data.length))
      socket.on('end', () => socket.end())
    })
    const options = { portOptions: { maxBandwidthIn: 2_000_000 } }
    const { proxy, port } = await listen(t, engine, backend, options)
    const clients: Socket[] = []
    for (const count of [1, 2, 3]) {
      const client = await dial(t, port)
      client.write(Buffer.alloc(64 * BULK))
      clients.push(client)
      await until(() => !received.slice(0, count).includes(0))
    }
    const enough = (): boolean => received.every((bytes) => bytes > 300_000)
    await until(enough)
    clients[0]?.destroy()
    clients[1]?.resetAndDestroy()
    await until(() => proxy.counters.active === 1)
    const before = received[2] ?? 0
    await until(() => (received[2] ?? 0) > before + 1_000_000)
    t.ok((received[2] ?? 0) < 64 * BULK)
    proxy.stop()
    await proxy.closed
  })

  t.test('a connection that waits for bandwidth is not silent', async (t) => {
    const data = Buffer.alloc(150_000, 'x')
    const backend = await startBackend(t, (socket) => socket.end(data))
    // The streams engine reads 64 KiB at a time: it waits for longer than the timeout.
    const portOptions = { maxBandwidthOut: 100_000, idleTimeoutMs: 200 }
    const { port } = await listen(t, engine, backend, { portOptions })
    t.equal((await readAll(await dial(t, port))).length, data.length)
  })

  t.test('a half-closed connection ends after its time, and an open one does not', async (t) => {
    const servers: Socket[] = []
    const backend = await startBackend(t, (socket) => servers.push(socket.resume()))
    const observer = new RecordingObserver()
    const options = { observer, portOptions: { halfClosedTimeoutMs: 200 } }
    const { proxy, port } = await listen(t, engine, backend, options)
    const open = await dial(t, port)
    const half = await dial(t, port)
    half.end('last words')
    t.match(await breakage(half), 'ECONNRESET')
    await until(() => observer.closedRelays.length === 1)
    t.match(observer.closedRelays, [{ ending: 'idle', bytesIn: 10 }])
    t.equal(proxy.counters.active, 1)
    open.write('still open')
    await until(() => servers[0]?.bytesRead === 10 || servers[1]?.bytesRead === 10)
    t.equal(open.destroyed, false)
  })

  t.test('a client that reads slowly gets all, although the time is over', async (t) => {
    const data = Buffer.alloc(100_000, 'x')
    const backend = await startBackend(t, (socket) => {
      socket.on('error', () => undefined).end(data)
    })
    const observer = new RecordingObserver()
    const options = { observer, portOptions: { halfClosedTimeoutMs: 200 } }
    const { port } = await listen(t, engine, backend, options)
    const client = await dial(t, port)
    client.pause()
    await until(() => observer.closedRelays.length === 1)
    t.match(observer.closedRelays, [{ ending: 'idle', bytesOut: data.length }])
    t.equal((await readAll(client)).length, data.length)
  })

  t.test('both sockets of a connection have the timeout for unacknowledged data', async (t) => {
    const options = { portOptions: { tcpUserTimeoutMs: 54_321 } }
    const { proxy, port } = await listen(t, engine, await startEcho(t), options)
    await openConnection(t, port)
    t.equal(connectionsWithUserTimeout(54_321), 2)
    proxy.changeOptions({ ...DEFAULT_PORT_OPTIONS, tcpUserTimeoutMs: 65_432 })
    await openConnection(t, port)
    t.equal(connectionsWithUserTimeout(65_432), 2)
    proxy.changeOptions(DEFAULT_PORT_OPTIONS)
    await openConnection(t, port)
    t.equal(connectionsWithUserTimeout(65_432), 2)
  })

  t.test('UDP: each client has as many flows as allowed, the new one for its oldest', async (t) => {
    const observer = new RecordingObserver()
    const perAddress = { connections: 2, ipv4Bits: 32, ipv6Bits: 64 }
    const portOptions = { maxConnectionsPerNetwork: perAddress }
    const options = { protocol: 'udp', observer, portOptions } as const
    const { proxy, port } = await listen(t, engine, await startUdpEcho(t), options)
    const { socket: other } = await bindUdp(t, '127.0.0.2')
    const answered = receive(other)
    other.send('other', port, '127.0.0.1')
    t.equal(String((await answered).data), 'other')
    const first = await bindUdp(t)
    for (const [client, text] of [
      [first, 'first'],
      [await bindUdp(t), 'second one'],
      [first, 'again'],
      [await bindUdp(t), 'third'],
    ] as const) {
      t.equal(String(await ask(client, port, text)), text)
    }
    t.match(observer.closedRelays, [{ ending: 'evicted', bytesIn: 'second one'.length }])
    t.match(proxy.counters, { active: 3, accepted: 4 })
    const lower = { ...perAddress, connections: 1 }
    proxy.changeOptions({ ...DEFAULT_PORT_OPTIONS, maxConnectionsPerNetwork: lower })
    t.match(observer.closedRelays[1], { ending: 'evicted', bytesIn: 'firstagain'.length })
    t.equal(proxy.counters.active, 2)
  })

  t.test('UDP: datagrams of clients that come too fast are dropped', async (t) => {
    const portOptions = { maxConnectionRate: SELDOM }
    const options = { protocol: 'udp', portOptions } as const
    const { proxy, port } = await listen(t, engine, await startUdpEcho(t), options)
    const served = await bindUdp(t)
    t.equal(String(await ask(served, port, 'first')), 'first')
    const late = await bindUdp(t)
    late.socket.on('message', () => t.fail('it came too fast'))
    late.socket.send('late', port, '127.0.0.1')
    await until(() => proxy.counters.excessClients === 1)
    t.equal(String(await ask(served, port, 'again')), 'again')
    t.equal(proxy.counters.accepted, 1)
  })

  t.test('UDP: clients that are not allowed use no bandwidth', async (t) => {
    const deny = [{ ip: '127.0.0.2', prefix: 32 }]
    const portOptions = { maxBandwidthIn: LOWEST_BANDWIDTH, deny }
    const options = { protocol: 'udp', portOptions } as const
    const { proxy, port } = await listen(t, engine, await startUdpEcho(t), options)
    const { socket: denied } = await bindUdp(t, '127.0.0.2')
    for (let i = 0; i < 10; i++) denied.send(Buffer.alloc(30_000), port, '127.0.0.1')
    await until(() => proxy.counters.deniedClients > 0)
    t.equal(String(await ask(await bindUdp(t), port, 'allowed')), 'allowed')
    t.equal(proxy.counters.dropped, 0)
  })

  t.test('UDP: datagrams beyond the bandwidth are dropped', async (t) => {
    for (const way of ['maxBandwidthIn', 'maxBandwidthOut'] as const) {
      const portOptions = { [way]: LOWEST_BANDWIDTH }
      const options = { protocol: 'udp', portOptions } as const
      const { proxy, port } = await listen(t, engine, await startUdpEcho(t), options)
      const client = await bindUdp(t)
      // It takes the bandwidth of half a minute.
      const answer = await ask(client, port, Buffer.alloc(30_000))
      t.equal(answer.length, 30_000)
      client.socket.send('too much', port, '127.0.0.1')
      await until(() => proxy.counters.dropped === 1)
      proxy.changeOptions(DEFAULT_PORT_OPTIONS)
      const next = receive(client.socket)
      client.socket.send('no limit', port, '127.0.0.1')
      t.equal(String((await next).data), 'no limit')
    }
  })
}

/** A connection on which the echo has answered. @param from the client's address */
async function openConnection(t: Test, port: number, from = '127.0.0.1'): Promise<Socket> {
  const client = connect({ port, host: '127.0.0.1', localAddress: from })
  t.teardown(() => client.destroy())
  client.on('error', () => undefined)
  await once(client, 'connect')
  client.write('x')
  await readBytes(client, 1)
  return client
}

/** Connected sockets of this process with a TCP_USER_TIMEOUT. @param milliseconds of the timeout */
function connectionsWithUserTimeout(milliseconds: number): number {
  const syscalls = requireSyscalls()
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => syscalls.getOption(fd, OPTION.TCP_USER_TIMEOUT) === milliseconds)
    .filter((fd) => syscalls.getOption(fd, OPTION.SO_ACCEPTCONN) === 0).length
}
