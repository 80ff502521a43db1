import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { Engine } from '../../src/proxy/engine.js'
import { DEFAULT_PORT_OPTIONS } from '../../src/proxy/port-options.js'
import { datagramHeader, proxyHeader } from '../../src/proxy/proxy-header.js'
import { ask, bindUdp, startUdpEcho } from '../lib/datagrams.js'
import { listen, type ListenOptions } from '../lib/listen.js'
import { RecordingObserver } from '../lib/recording-observer.js'
import {
  dial,
  exchange,
  isAnswered,
  listeningDescriptor,
  readAll,
  readBytes,
  startBackend,
  startEcho,
} from '../lib/sockets.js'
import { until } from '../lib/until.js'

const LOOPBACK = [{ ip: '127.0.0.0', prefix: 8 }]
const CLIENT = { ip: '192.0.2.7', port: 4711 }
const CONNECTION = { client: CLIENT, server: { ip: '198.51.100.1', port: 80 } }
const HEADERS = { v1: proxyHeader('v1', CONNECTION), v2: proxyHeader('v2', CONNECTION) }

/** Clients that a balancer announces, as every engine has to treat them, tested with real sockets. */
export function acceptProxySuite(engine: Engine): void {
  const start = async (t: Test, portOptions: ListenOptions['portOptions'] = {}) => {
    const observer = new RecordingObserver()
    const options = { observer, portOptions: { acceptProxy: LOOPBACK, ...portOptions } }
    return { observer, ...(await listen(t, engine, await startEcho(t), options)) }
  }

  t.test('the header of a balancer is no data, and names the client', async (t) => {
    for (const version of ['v1', 'v2'] as const) {
      const { observer, port } = await start(t)
      const client = await dial(t, port)
      client.end(Buffer.concat([HEADERS[version], Buffer.from('hello')]))
      t.equal(await readAll(client), 'hello')
      await until(() => observer.closedRelays.length === 1)
      t.match(observer.closedRelays, [
        { client: '192.0.2.7:4711', ending: 'finished', bytesIn: 5, bytesOut: 5 },
      ])
    }
  })

  t.test('a header may come in pieces, and the data later', async (t) => {
    for (const version of ['v1', 'v2'] as const) {
      const { proxy, port } = await start(t)
      const client = await dial(t, port)
      for (const byte of HEADERS[version]) {
        await new Promise((resolve) => client.write(Buffer.from([byte]), resolve))
        await new Promise(setImmediate)
      }
      client.write('hello')
      t.equal(await readBytes(client, 5), 'hello')
      client.write(Buffer.alloc(100_000, 'x'))
      client.end()
      t.equal((await readAll(client)).length, 100_000)
      await until(() => proxy.counters.active === 0)
      t.equal(proxy.counters.bytesIn, 100_005)
    }
  })

  t.test('a client that only listens, or ends behind its header', async (t) => {
    const { proxy, port } = await start(t)
    const client = await dial(t, port)
    client.end(HEADERS.v2)
    t.equal(await readAll(client), '')
    await until(() => proxy.counters.active === 0)
    t.match(proxy.counters, { accepted: 1, bytesIn: 0, failedDials: 0 })
  })

  t.test('a balancer may also connect for itself', async (t) => {
    const { observer, port } = await start(t)
    for (const header of [proxyHeader('v1', undefined), proxyHeader('v2', undefined)]) {
      const client = await dial(t, port)
      const from = client.localPort ?? 0
      client.end(Buffer.concat([header, Buffer.from('health')]))
      t.equal(await readAll(client), 'health')
      await until(() => observer.closedRelays.length > 0)
      t.match(observer.closedRelays.pop(), { client: `127.0.0.1:${from}` })
    }
  })

  t.test('without a valid header nothing reaches the container', async (t) => {
    const { observer, proxy, port } = await start(t, { acceptProxyTimeoutMs: 60_000 })
    const wrong = [
      'GET / HTTP/1.1\r\n\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n',
      `PROXY TCP4 ${'1'.repeat(200)}`,
      HEADERS.v2.subarray(0, 20),
    ]
    for (const [i, text] of wrong.entries()) {
      const client = await dial(t, port)
      client.end(text)
      t.equal(await isAnswered(client), false)
      await until(() => observer.closedRelays.length > i)
      t.match(observer.closedRelays[i], { ending: 'no-header', backend: '' })
    }
    t.match(proxy.counters, { active: 0, bytesIn: 0, bytesOut: 0 })
  })

  t.test('a header that does not come in time ends the connection', async (t) => {
    const { observer, port } = await start(t, { acceptProxyTimeoutMs: 100 })
    const client = await dial(t, port)
    client.write('PROXY TCP4 ')
    t.equal(await isAnswered(client), false)
    await until(() => observer.closedRelays.length === 1)
    t.match(observer.closedRelays, [{ ending: 'no-header' }])
  })

  t.test(
    'a balancer without a header that goes, or whose port is withdrawn, is counted as ended',
    async (t) => {
      const { observer, proxy, port } = await start(t)
      const gone = await dial(t, port)
      await until(() => proxy.counters.active === 1)
      gone.resetAndDestroy()
      await until(() => observer.closedRelays.length === 1)
      const waiting = await dial(t, port)
      await until(() => proxy.counters.active === 1)
      proxy.stop()
      t.equal(await isAnswered(waiting), false)
      await proxy.closed
      await until(() => observer.closedRelays.length === 2)
      t.match(observer.closedRelays, [{ ending: 'no-header' }, { ending: 'stopped' }])
      t.equal(proxy.counters.active, 0)
    },
  )

  t.test('headers of others are data', async (t) => {
    const { port } = await start(t, { acceptProxy: [{ ip: '10.0.0.0', prefix: 8 }] })
    t.equal(await exchange(t, port, HEADERS.v1.toString()), HEADERS.v1.toString())
  })

  t.test('a balancer that has gone before it was accepted is no client', async (t) => {
    let received = 0
    const backend = await startBackend(t, (socket) =>
      socket.on('data', (data) => (received += data.length)),
    )
    const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
    const gone = await dial(t, port)
    await new Promise((resolve) => gone.write(`${String(HEADERS.v1)}GET /`, resolve))
    gone.resetAndDestroy()
    await once(gone, 'close')
    const options = { listenFd: fd, portOptions: { acceptProxy: LOOPBACK } }
    const { proxy } = await listen(t, engine, backend, options)
    const next = await dial(t, port)
    next.write(HEADERS.v1)
    next.write('x')
    await until(() => received > 0)
    t.equal(received, 1)
    t.equal(proxy.counters.deniedClients, 1)
  })

  t.test('a balancer that is denied announces nobody', async (t) => {
    const { proxy, port } = await start(t, { deny: [{ ip: '127.0.0.1', prefix: 32 }] })
    const client = await dial(t, port)
    client.write(HEADERS.v2)
    t.equal(await isAnswered(client), false)
    t.match(proxy.counters, { accepted: 0, deniedClients: 1 })
  })

  t.test('the announced client is the one that may connect, and counts', async (t) => {
    const network = (ip: string) => [{ ip, prefix: 32 }]
    const perNetwork = { connections: 1, ipv4Bits: 32, ipv6Bits: 64 }
    const { observer, proxy, port } = await start(t, {
      allow: network(CLIENT.ip),
      maxConnectionsPerNetwork: perNetwork,
    })
    const announced = async (ip: string) => {
      const client = await dial(t, port)
      client.write(proxyHeader('v2', { ...CONNECTION, client: { ip, port: 1 } }))
      client.write('x')
      return client
    }
    const first = await announced(CLIENT.ip)
    await readBytes(first, 1)
    t.equal(await isAnswered(await announced('192.0.2.8')), false)
    await until(() => proxy.counters.deniedClients === 1)
    t.equal(await isAnswered(await announced(CLIENT.ip)), false)
    await until(() => proxy.counters.excessClients === 1)
    first.destroy()
    await until(() => proxy.counters.active === 0)
    await readBytes(await announced(CLIENT.ip), 1)
    t.match(
      observer.closedRelays.filter(({ ending }) => ending === 'refused'),
      [{ client: '192.0.2.8:1' }, { client: `${CLIENT.ip}:1` }],
    )
  })

  t.test('the container learns of the client that was announced', async (t) => {
    for (const sendProxy of ['v1', 'v2'] as const) {
      const { port } = await start(t, { sendProxy })
      const client = await dial(t, port)
      client.end(Buffer.concat([HEADERS[sendProxy === 'v1' ? 'v2' : 'v1'], Buffer.from('hello')]))
      t.equal(await readAll(client), `${String(HEADERS[sendProxy])}hello`)
    }
  })

  t.test('clients wait for a header in any number', async (t) => {
    const { proxy, port } = await start(t)
    const clients = []
    for (let i = 0; i < 50; i++) clients.push(await dial(t, port))
    await until(() => proxy.counters.active === 50)
    for (const client of clients) client.end(Buffer.concat([HEADERS.v1, Buffer.from('hello')]))
    for (const client of clients) t.equal(await readAll(client), 'hello')
    await until(() => proxy.counters.active === 0)
    proxy.changeOptions(DEFAULT_PORT_OPTIONS)
    t.equal(await exchange(t, port, 'no balancer'), 'no balancer')
  })
}

/** The same for UDP, where only the container can be told. */
export function sendProxyUdpSuite(engine: Engine): void {
  t.test('UDP: each datagram has a header with the address of its client', async (t) => {
    const options = { protocol: 'udp', portOptions: { sendProxy: 'v2' } } as const
    const { proxy, port } = await listen(t, engine, await startUdpEcho(t), options)
    const server = { ip: '127.0.0.1', port }
    const clients = [await bindUdp(t), await bindUdp(t)]
    for (const text of ['one', 'two', '', 'x'.repeat(1_000)]) {
      for (const client of clients) {
        const header = datagramHeader({ client: { ip: client.ip, port: client.port }, server })
        t.equal(header.length, 28)
        const answer = await ask(client, port, text)
        t.same(answer.subarray(0, 28), header)
        t.equal(answer.subarray(28).toString(), text)
      }
    }
    t.equal(proxy.counters.bytesIn, 2 * (3 + 3 + 1_000), 'the header is no data of clients')
    // A burst goes through one system call of the native engine.
    const [client] = clients
    const answers: string[] = []
    client?.socket.on('message', (data) => answers.push(data.subarray(28).toString()))
    for (let i = 0; i < 20; i++) client?.socket.send(String(i), port, '127.0.0.1')
    await until(() => answers.length === 20)
    t.same(
      answers.map(Number).sort((a, b) => a - b),
      [...Array(20).keys()],
    )
  })

  t.test('UDP: without the option, and with version 1, there is no header', async (t) => {
    for (const sendProxy of [undefined, 'v1'] as const) {
      const options = { protocol: 'udp', portOptions: { sendProxy } } as const
      const { port } = await listen(t, engine, await startUdpEcho(t), options)
      t.equal(String(await ask(await bindUdp(t), port, 'plain')), 'plain')
    }
  })
}
