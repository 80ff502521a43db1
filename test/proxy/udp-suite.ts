import { randomBytes } from 'node:crypto'
import { closeSync } from 'node:fs'
import t, { type Test } from 'tap'
import { openPortSocket } from '../../src/linux/sockets/port-socket.js'
import type { SocketAddress } from '../../src/linux/sockets/socket-address.js'
import type { Engine } from '../../src/proxy/engine.js'
import { backwards, HOUR_MS } from '../lib/clock.js'
import {
  ask,
  bindUdp,
  closeUdp,
  receive,
  sendForged,
  startUdpEcho,
  type UdpPeer,
} from '../lib/datagrams.js'
import { freeRow } from '../lib/free-row.js'
import { notRoot } from '../lib/program.js'
import { RecordingObserver } from '../lib/recording-observer.js'
import { listen, type Listening, type ListenOptions } from '../lib/listen.js'
import { until } from '../lib/until.js'

/** The largest datagram over IPv4, bytes. */
const LARGEST = 65_507

/** The behaviour of every engine with UDP, tested with real sockets. */
export function udpSuite(engine: Engine): void {
  const publish = (
    t: Test,
    backend: SocketAddress,
    options: ListenOptions = {},
  ): Promise<Listening> =>
    listen(t, engine, { ip: backend.ip, port: backend.port }, { protocol: 'udp', ...options })

  for (const [hostIp, containerIp] of [
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    ['127.0.0.1', '::1'],
    ['::1', '127.0.0.1'],
  ] as const) {
    t.test(`UDP from ${hostIp} to ${containerIp}`, async (t) => {
      const { port, proxy } = await publish(t, await startUdpEcho(t, containerIp), { ip: hostIp })
      const client = await bindUdp(t, hostIp)
      for (const text of ['hello', 'again', 'and again']) {
        t.equal((await ask(client, port, text)).toString(), text)
      }
      t.equal(proxy.counters.accepted, 1, 'one client, one flow')
    })
  }

  t.test('UDP: other ports of the process do not split a client’s flow', async (t) => {
    const echo = await startUdpEcho(t)
    const others = await Promise.all(
      ['0.0.0.0', '::'].map((hostIp) => publish(t, echo, { ip: hostIp })),
    )
    const { port, proxy } = await publish(t, echo)
    const [client, v4, v6] = await Promise.all([bindUdp(t), bindUdp(t), bindUdp(t, '::1')])
    for (const text of ['one', 'two', 'three', 'four']) {
      t.equal(String(await ask(client, port, text)), text)
      for (const [other, sender] of [
        [others[0], v4],
        [others[1], v6],
      ] as const) {
        t.equal(String(await ask(sender, other?.port ?? 0, text)), text)
      }
    }
    t.equal(proxy.counters.accepted, 1)
    for (const other of others) t.equal(other.proxy.counters.accepted, 1)
  })

  t.test(
    'UDP: a datagram that can not be replied to, or comes from the port itself, is dropped',
    { skip: notRoot('for raw sockets') },
    async (t) => {
      const echo = await startUdpEcho(t)
      let received = 0
      echo.socket.on('message', () => received++)
      const { port, proxy } = await publish(t, echo, { ip: '0.0.0.0' })
      sendForged(0, port, 'from port 0')
      sendForged(port, port, 'from the port itself')
      t.equal(String(await ask(await bindUdp(t), port, 'afterwards')), 'afterwards')
      t.equal(proxy.counters.accepted, 1)
      t.equal(received, 1)
    },
  )

  t.test('UDP: a port is not forwarded to itself', async (t) => {
    const port = freeRow(1)
    await t.rejects(listen(t, engine, { ip: '127.0.0.1', port }, { protocol: 'udp', port }), {
      code: 'ELOOP',
      message: /that is this proxy itself/,
    })
  })

  t.test('UDP: for a port that can not be, nothing is opened', async (t) => {
    for (const port of [0, 70_000]) {
      const { proxy, port: own, log } = await publish(t, { ip: '127.0.0.1', port })
      const client = await bindUdp(t)
      for (let i = 0; i < 3; i++) client.socket.send('x', own, client.ip)
      await until(() => proxy.counters.failedDials > 0)
      t.equal(proxy.counters.accepted, 0)
      t.notOk(log.lines.some((line) => line.startsWith("Can't")))
    }
  })

  t.test('UDP: 0.0.0.0 and :: share a port, and each serves its own family', async (t) => {
    const echo = await startUdpEcho(t)
    const v4 = await publish(t, echo, { ip: '0.0.0.0' })
    await publish(t, echo, { ip: '::', port: v4.port })
    t.equal((await ask(await bindUdp(t), v4.port, 'four')).toString(), 'four')
    t.equal((await ask(await bindUdp(t, '::1'), v4.port, 'six')).toString(), 'six')
  })

  t.test('UDP: a bound socket handed over', async (t) => {
    const probe = await bindUdp(t)
    await closeUdp(probe.socket)
    const listenFd = openPortSocket({ protocol: 'udp', ip: '127.0.0.1', port: probe.port })
    const { proxy, port } = await publish(t, await startUdpEcho(t), { listenFd })
    t.equal(port, probe.port)
    t.equal((await ask(await bindUdp(t), port, 'fd')).toString(), 'fd')
    proxy.stop()
    t.throws(() => closeSync(listenFd), { code: 'EBADF' }, 'it is the proxy that closes it')
  })

  t.test('UDP: a bound socket may have another family than the address', async (t) => {
    const listenFd = openPortSocket({ protocol: 'udp', ip: '::1', port: 0 })
    const { port } = await publish(t, await startUdpEcho(t), { ip: '127.0.0.1', listenFd })
    t.equal((await ask(await bindUdp(t, '::1'), port, 'six')).toString(), 'six')
  })

  t.test('UDP: a taken port is refused in the words of the original', async (t) => {
    const { port } = await bindUdp(t)
    await t.rejects(publish(t, { ip: '127.0.0.1', port: 1 }, { port }), {
      code: 'EADDRINUSE',
      message: `failed to listen on 127.0.0.1:${port}: listen udp4 127.0.0.1:${port}: bind: address already in use`,
    })
  })

  t.test('UDP: each client has an address of its own at the backend, and keeps it', async (t) => {
    const backend = await bindUdp(t)
    const { port, proxy } = await publish(t, backend)
    const clients = [await bindUdp(t), await bindUdp(t)]
    const seen: number[] = []
    for (const client of [...clients, ...clients]) {
      const question = receive(backend.socket)
      client.socket.send(`from ${client.port}`, port, '127.0.0.1')
      const { data, from } = await question
      seen.push(from.port)
      const answer = receive(client.socket)
      backend.socket.send(`to ${data.toString()}`, from.port, from.address)
      const got = await answer
      t.equal(got.data.toString(), `to from ${client.port}`)
      t.equal(got.from.port, port, 'the answer comes from the published port')
    }
    t.same(seen.slice(0, 2), seen.slice(2))
    t.not(seen[0], seen[1])
    t.match(proxy.counters, { accepted: 2, active: 2 })
  })

  t.test('UDP: the largest datagram and the empty one arrive whole', async (t) => {
    const { port } = await publish(t, await startUdpEcho(t))
    const client = await bindUdp(t)
    const largest = randomBytes(LARGEST)
    t.ok(largest.equals(await ask(client, port, largest)))
    t.equal((await ask(client, port, Buffer.alloc(0))).length, 0)
  })

  t.test('UDP: a backend that starts only later is reached then', async (t) => {
    const late = await bindUdp(t)
    await closeUdp(late.socket)
    const { port, proxy } = await publish(t, late)
    const client = await bindUdp(t)
    for (let i = 1; i <= 3; i++) {
      client.socket.send('refused', port, '127.0.0.1')
      await until(() => proxy.counters.bytesIn === i * 'refused'.length)
    }
    await startUdpEcho(t, '127.0.0.1', late.port)
    t.equal((await ask(client, port, 'at last')).toString(), 'at last')
    t.equal(proxy.counters.accepted, 1, 'still the same flow')
    t.ok(proxy.counters.failedDials > 0, 'refusals are counted')
    t.match(proxy.dialFailures, { lastFailedDial: { reason: 'connection refused' } })
  })

  t.test('UDP: idle flows go, and a client that comes back is served', async (t) => {
    const { port, proxy } = await publish(t, await startUdpEcho(t), { udpIdleMs: 100 })
    const client = await bindUdp(t)
    await ask(client, port, 'one')
    t.equal(proxy.counters.active, 1)
    await until(() => proxy.counters.active === 0)
    t.equal((await ask(client, port, 'two')).toString(), 'two')
    t.equal(proxy.counters.accepted, 2)
  })

  t.test('UDP: a flow whose backend never answers lives while the client writes', async (t) => {
    const backend = await bindUdp(t)
    const { port, proxy } = await publish(t, backend, { udpIdleMs: 2_000 })
    const [client, idle] = await Promise.all([bindUdp(t), bindUdp(t)])
    const tick = async (from: UdpPeer): Promise<number> => {
      const arrived = receive(backend.socket)
      from.socket.send('tick', port, '127.0.0.1')
      return (await arrived).from.port
    }
    await tick(idle)
    const flow = await tick(client)
    // Until an idle flow has ended.
    while (proxy.counters.active === 2)
      if ((await tick(client)) !== flow) t.fail('the flow has changed')
    t.match(proxy.counters, { accepted: 2, active: 1 })
  })

  t.test('UDP: with no room left the flow that was idle the longest goes first', async (t) => {
    // The sockets of two relays are enough for four flows.
    const { port, proxy, log } = await publish(t, await startUdpEcho(t), { capacity: 2 })
    const clients = await Promise.all(Array.from({ length: 4 }, () => bindUdp(t)))
    for (const client of clients) await ask(client, port, 'x')
    const [first] = clients
    if (first) await ask(first, port, 'again')
    const late = await bindUdp(t)
    t.equal((await ask(late, port, 'late')).toString(), 'late')
    t.match(proxy.counters, { accepted: 5, active: 4 })
    t.same(log.lines, [
      'Out of file descriptors: each new client ends the flow that was idle longest',
    ])
    if (first) await ask(first, port, 'kept')
    t.equal(proxy.counters.accepted, 5, 'the one that was used last has kept its flow')
  })

  t.test('UDP: close frees the port at once', async (t) => {
    const { port, proxy } = await publish(t, await startUdpEcho(t))
    await ask(await bindUdp(t), port, 'x')
    proxy.stop()
    await proxy.closed
    t.equal(proxy.counters.active, 0)
    await bindUdp(t, '127.0.0.1', port)
    proxy.stop()
  })

  t.test('UDP: a changed backend gets the next datagram of each client', async (t) => {
    const observer = new RecordingObserver()
    const [first, second] = await Promise.all([startUdpEcho(t), startUdpEcho(t, '127.0.0.2')])
    const { proxy, port } = await publish(t, first, { observer })
    const client = await bindUdp(t)
    await ask(client, port, 'before')
    proxy.changeBackends({ addresses: [{ ip: second.ip, port: second.port }], holdMs: 0 })
    await closeUdp(first.socket)
    t.equal((await ask(client, port, 'after')).toString(), 'after')
    t.match(proxy.counters, { accepted: 2, active: 1 })
    t.match(observer.closedRelays, [{ ending: 'backend-changed' }])
  })

  t.test('UDP: several backends take turns, and without one datagrams are dropped', async (t) => {
    const observer = new RecordingObserver()
    const [first, second] = await Promise.all([startUdpEcho(t), startUdpEcho(t, '127.0.0.2')])
    const { proxy, port } = await publish(t, first, { observer })
    proxy.changeBackends({ addresses: [first, second], holdMs: 0 })
    const clients = await Promise.all([bindUdp(t), bindUdp(t)])
    for (const client of clients) await ask(client, port, 'x')
    // The flow of one client has left with its backend, and the other one stays.
    proxy.changeBackends({ addresses: [second], holdMs: 0 })
    t.match(observer.closedRelays, [{ ending: 'backend-changed' }])
    t.equal(proxy.counters.active, 1)
    proxy.changeBackends({ addresses: [], holdMs: 60_000 })
    t.equal(proxy.counters.active, 0)
    const { failedDials } = proxy.counters
    clients[0].socket.send('lost', port, '127.0.0.1')
    await until(() => proxy.counters.failedDials > failedDials)
    proxy.changeBackends({ addresses: [second], holdMs: 0 })
    t.equal((await ask(clients[0], port, 'again')).toString(), 'again')
  })

  t.test('UDP: an observer learns of each flow, and how it ended', async (t) => {
    t.intercept(Date, 'now', { value: backwards() })
    const observer = new RecordingObserver()
    const options = { observer, udpIdleMs: 40, capacity: 1 }
    const { proxy, port } = await publish(t, await startUdpEcho(t), options)
    const client = await bindUdp(t)
    await ask(client, port, 'four')
    await until(() => observer.closedRelays.length === 1)
    t.match(observer.closedRelays[0], {
      client: `127.0.0.1:${client.port}`,
      ...{ bytesIn: 4, bytesOut: 4, ending: 'idle' },
    })
    const clients = await Promise.all(Array.from({ length: 3 }, () => bindUdp(t)))
    for (const each of clients) await ask(each, port, 'x')
    proxy.stop()
    await until(() => observer.closedRelays.length === 4)
    t.ok(observer.closedRelays.every(({ durationMs }) => durationMs >= 0 && durationMs < HOUR_MS))
    const endings = observer.closedRelays.map(({ ending }) => ending)
    t.ok(endings.includes('stopped'))
    t.ok(endings.every((ending) => ['idle', 'evicted', 'stopped'].includes(ending)))
    t.equal(observer.acceptedCount, 4)
  })
}
