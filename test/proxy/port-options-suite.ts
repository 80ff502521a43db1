import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Engine } from '../../src/proxy/engine.js'
import { DEFAULT_PORT_OPTIONS } from '../../src/proxy/port-options.js'
import { ask, bindUdp, startUdpEcho } from '../lib/datagrams.js'
import { fillBacklog } from '../lib/full-backlog.js'
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

/** Bytes of a header of version 2 for IPv4. */
const V2_IPV4_LENGTH = 28

/** The options of a port, as every engine has to follow them with TCP, tested with real sockets. */
export function portOptionsSuite(engine: Engine): void {
  t.test('the backend is told the address of each client, before its data', async (t) => {
    const seen: Buffer[] = []
    const backend = await startBackend(t, (socket) => {
      const chunks: Buffer[] = []
      socket.on('data', (chunk) => chunks.push(chunk))
      socket.on('end', () => {
        seen.push(Buffer.concat(chunks))
        socket.end()
      })
    })
    for (const sendProxy of ['v1', 'v2'] as const) {
      const { port } = await listen(t, engine, backend, { portOptions: { sendProxy } })
      const client = await dial(t, port)
      const from = client.localPort ?? 0
      client.end('hello')
      await readAll(client)
      const received = seen.pop() ?? Buffer.alloc(0)
      if (sendProxy === 'v1') {
        const header = `PROXY TCP4 127.0.0.1 127.0.0.1 ${from} ${port}\r\n`
        t.equal(received.toString(), `${header}hello`)
      } else {
        t.equal(received.readUInt16BE(24), from)
        t.equal(received.readUInt16BE(26), port)
        t.equal(received.subarray(28).toString(), 'hello')
      }
    }
  })

  t.test('a client that only listens is announced, too', async (t) => {
    const backend = await startBackend(t, (socket) => socket.end('welcome'))
    const { port } = await listen(t, engine, backend, { portOptions: { sendProxy: 'v2' } })
    t.equal(await readAll(await dial(t, port)), 'welcome')
  })

  t.test('data of a client without an address does not reach the backend', async (t) => {
    let received = 0
    const backend = await startBackend(t, (socket) =>
      socket.on('data', (chunk) => (received += chunk.length)),
    )
    const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
    const client = await dial(t, port)
    await new Promise((resolve) => client.write('data', resolve))
    client.resetAndDestroy()
    await once(client, 'close')
    const observer = new RecordingObserver()
    const options = { listenFd: fd, observer, portOptions: { sendProxy: 'v2' } } as const
    await listen(t, engine, backend, options)
    await until(() => observer.closedRelays.length === 1)
    t.match(observer.closedRelays, [{ ending: 'client-reset' }])
    // A client that comes later is served, so the first one was handled.
    const next = await dial(t, port)
    next.write('x')
    await until(() => received > 0)
    t.equal(received, V2_IPV4_LENGTH + 1)
  })

  /** A proxy of an echo that may have two connections, and both of them. */
  const publishFull = async (t: Test, portOptions: ListenOptions['portOptions'] = {}) => {
    const backend = await startEcho(t)
    const options = { portOptions: { maxConnections: 2, ...portOptions } }
    const listening = await listen(t, engine, backend, options)
    const clients = [await dial(t, listening.port), await dial(t, listening.port)] as const
    for (const client of clients) {
      client.write('x')
      await readBytes(client, 1)
    }
    return { ...listening, clients }
  }

  t.test('with as many connections as allowed, the next client waits', async (t) => {
    const { proxy, port, clients } = await publishFull(t)
    const third = await dial(t, port)
    third.end('third')
    clients[0].write('still served')
    await readBytes(clients[0], 12)
    t.match(proxy.counters, { active: 2, accepted: 2, excessClients: 0 })
    clients[0].destroy()
    t.equal(await readAll(third), 'third')
    t.equal(await exchange(t, port, 'and the next'), 'and the next')
    t.match(proxy.counters, { accepted: 4, excessClients: 0 })
  })

  t.test('or is refused', async (t) => {
    const { proxy, port, clients } = await publishFull(t, { whenFull: 'refuse' })
    t.equal(await isAnswered(await dial(t, port)), false)
    t.match(proxy.counters, { active: 2, accepted: 2, excessClients: 1 })
    clients[0].end()
    await once(clients[0].resume(), 'close')
    await until(() => proxy.counters.active === 1)
    t.equal(await exchange(t, port, 'served'), 'served')
  })

  t.test('only clients of allowed networks get through', async (t) => {
    const echo = await startEcho(t)
    const network = (ip: string, prefix: number) => [{ ip, prefix }]
    const allowed = async (portOptions: ListenOptions['portOptions']): Promise<boolean> => {
      const observer = new RecordingObserver()
      const { proxy, port } = await listen(t, engine, echo, { portOptions, observer })
      const client = await dial(t, port)
      client.write('x')
      const isServed = await isAnswered(client)
      t.equal(proxy.counters.deniedClients, isServed ? 0 : 1)
      t.equal(observer.acceptedCount, isServed ? 1 : 0)
      return isServed
    }
    t.equal(await allowed({ allow: network('127.0.0.0', 8) }), true)
    t.equal(await allowed({ allow: network('10.0.0.0', 8) }), false)
    t.equal(await allowed({ deny: network('127.0.0.1', 32) }), false)
    t.equal(await allowed({ deny: network('10.0.0.0', 8) }), true)
    const both = { allow: network('127.0.0.0', 8), deny: network('127.0.0.1', 32) }
    t.equal(await allowed(both), false, 'deny comes first')
  })

  t.test('a backend that does not accept in time is a failed dial', async (t) => {
    const { ip, port: silent } = await fillBacklog(t)
    const observer = new RecordingObserver()
    const options = { observer, portOptions: { dialTimeoutMs: 200 } }
    const { proxy, port } = await listen(t, engine, { ip, port: silent }, options)
    t.equal(await isAnswered(await dial(t, port)), false)
    t.match(observer.failedDials, [{ code: 'ETIMEDOUT' }])
    t.match(proxy.dialFailures.failedDialReasons, { 'connection timed out': 1 })
    t.match(observer.closedRelays, [{ ending: 'dial-failed', backend: `${ip}:${silent}` }])
  })

  t.test('a silent connection ends, and one with data in either direction goes on', async (t) => {
    const servers: Socket[] = []
    const backend = await startBackend(t, (socket) => servers.push(socket))
    const observer = new RecordingObserver()
    const options = { observer, portOptions: { idleTimeoutMs: 400 } }
    const { port } = await listen(t, engine, backend, options)
    const busy = await dial(t, port)
    await until(() => servers.length === 1)
    const pulse = setInterval(() => servers[0]?.write('.'), 20)
    t.teardown(() => clearInterval(pulse))
    busy.resume()
    const silent = await dial(t, port)
    t.equal(await isAnswered(silent), false)
    await until(() => observer.closedRelays.length > 0)
    t.match(observer.closedRelays, [{ ending: 'idle', bytesOut: 0 }])
    clearInterval(pulse)
    await new Promise<void>((resolve) => busy.once('close', () => resolve()))
    await until(() => observer.closedRelays.length === 2)
    t.match(observer.closedRelays[1], { ending: 'idle', bytesIn: 0, backend: /^127/ })
    t.ok((observer.closedRelays[1]?.bytesOut ?? 0) > 1)
  })

  t.test('the end of a connection is told with its backend and the time of its dial', async (t) => {
    const echo = await startEcho(t)
    const observer = new RecordingObserver()
    const { port } = await listen(t, engine, echo, { observer })
    await exchange(t, port, 'hello')
    await until(() => observer.closedRelays.length === 1)
    t.match(observer.closedRelays, [
      { backend: `${echo.ip}:${echo.port}`, dialMs: Number, active: 1, bytesIn: 5, bytesOut: 5 },
    ])
  })

  t.test('UDP: as many flows as allowed, the new one in the place of the oldest', async (t) => {
    const observer = new RecordingObserver()
    const echo = await startUdpEcho(t)
    const options = { protocol: 'udp', observer, portOptions: { maxConnections: 2 } } as const
    const { proxy, port } = await listen(t, engine, echo, options)
    for (const text of ['one', 'two', 'three']) {
      t.equal(String(await ask(await bindUdp(t), port, text)), text)
    }
    t.match(proxy.counters, { accepted: 3, active: 2 })
    t.match(observer.closedRelays, [{ ending: 'evicted', bytesIn: 3, active: 2 }])
  })

  t.test('UDP: datagrams of clients that are not allowed are dropped', async (t) => {
    const observer = new RecordingObserver()
    const echo = await startUdpEcho(t)
    const deny = [{ ip: '127.0.0.2', prefix: 32 }]
    const options = { protocol: 'udp', observer, portOptions: { deny } } as const
    const { proxy, port } = await listen(t, engine, echo, options)
    const denied = await bindUdp(t, '127.0.0.2')
    denied.socket.on('message', () => t.fail('it is denied'))
    denied.socket.send('hello', port, '127.0.0.1')
    t.equal(String(await ask(await bindUdp(t), port, 'allowed')), 'allowed')
    await until(() => proxy.counters.deniedClients === 1)
    t.equal(observer.acceptedCount, 1)
  })

  t.test('UDP: a silent flow ends after the time of the option', async (t) => {
    const observer = new RecordingObserver()
    const echo = await startUdpEcho(t)
    const options = { protocol: 'udp', observer, portOptions: { idleTimeoutMs: 100 } } as const
    const { port } = await listen(t, engine, echo, options)
    t.equal(String(await ask(await bindUdp(t), port, 'hello')), 'hello')
    await until(() => observer.closedRelays.length === 1)
    t.match(observer.closedRelays, [{ ending: 'idle', bytesIn: 5, bytesOut: 5 }])
  })

  t.test('a higher limit lets the client in that waits, and a lower one ends nobody', async (t) => {
    const { proxy, port, clients } = await publishFull(t)
    const third = await dial(t, port)
    third.write('third')
    proxy.changeOptions({ ...DEFAULT_PORT_OPTIONS, maxConnections: 3 })
    t.equal(await readBytes(third, 5), 'third')
    proxy.changeOptions({ ...DEFAULT_PORT_OPTIONS, maxConnections: 1, whenFull: 'refuse' })
    t.equal(await isAnswered(await dial(t, port)), false)
    clients[1].write('still served')
    await readBytes(clients[1], 12)
    t.match(proxy.counters, { active: 3, excessClients: 1 })
    proxy.changeOptions(DEFAULT_PORT_OPTIONS)
    t.equal(await exchange(t, port, 'no limit'), 'no limit')
  })

  t.test('other networks and times count from now on, also for open connections', async (t) => {
    const observer = new RecordingObserver()
    const { proxy, port } = await listen(t, engine, await startEcho(t), { observer })
    const silent = await dial(t, port)
    silent.write('x')
    await readBytes(silent, 1)
    const deny = [{ ip: '127.0.0.1', prefix: 32 }]
    proxy.changeOptions({ ...DEFAULT_PORT_OPTIONS, deny, idleTimeoutMs: 100 })
    t.equal(await isAnswered(await dial(t, port)), false)
    t.equal(proxy.counters.deniedClients, 1)
    t.equal(await isAnswered(silent), false)
    await until(() => observer.closedRelays.length === 1)
    t.match(observer.closedRelays, [{ ending: 'idle' }])
    proxy.changeOptions(DEFAULT_PORT_OPTIONS)
    t.equal(await exchange(t, port, 'allowed'), 'allowed')
    proxy.stop()
    proxy.changeOptions({ ...DEFAULT_PORT_OPTIONS, maxConnections: 1 })
    await proxy.closed
  })

  t.test(
    'UDP: a lower limit ends the oldest flows, and a shorter time the silent ones',
    async (t) => {
      const observer = new RecordingObserver()
      const echo = await startUdpEcho(t)
      const { proxy, port } = await listen(t, engine, echo, { protocol: 'udp', observer })
      for (const text of ['one', 'three']) await ask(await bindUdp(t), port, text)
      proxy.changeOptions({ ...DEFAULT_PORT_OPTIONS, maxConnections: 1 })
      t.match(observer.closedRelays, [{ ending: 'evicted', bytesIn: 3 }])
      proxy.changeOptions({ ...DEFAULT_PORT_OPTIONS, idleTimeoutMs: 100 })
      await until(() => observer.closedRelays.length === 2)
      t.match(observer.closedRelays[1], { ending: 'idle', bytesIn: 5 })
      proxy.stop()
      proxy.changeOptions(DEFAULT_PORT_OPTIONS)
      await proxy.closed
    },
  )

  t.test('without a backend, the end of a client is told, too', async (t) => {
    const observer = new RecordingObserver()
    const { proxy, port } = await listen(t, engine, { ip: '127.0.0.1', port: 1 }, { observer })
    proxy.changeBackends({ addresses: [], holdMs: 0 })
    t.equal(await isAnswered(await dial(t, port)), false)
    t.match(observer.closedRelays, [{ ending: 'dial-failed', backend: '' }])
  })
}
