import { once } from 'node:events'
import { closeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { constants } from 'node:os'
import koffi from 'koffi'
import t, { type Test } from 'tap'
import type { SocketAddress } from '../../src/linux/sockets/socket-address.js'
import type { Engine } from '../../src/proxy/engine.js'
import { descriptorOf } from '../../src/proxy/streams/descriptor.js'
import { deliverUnreadData } from '../../src/proxy/streams/unread-data.js'
import { backwards, HOUR_MS } from '../lib/clock.js'
import { RecordingObserver } from '../lib/recording-observer.js'
import type { RelayEnding } from '../../src/proxy/observer.js'
import { freeRow } from '../lib/free-row.js'
import { listen, type Listening, type ListenOptions } from '../lib/listen.js'
import { assertReleased } from '../lib/released.js'
import {
  breakage,
  dial,
  exchange,
  listeningDescriptor,
  readAll,
  readBytes,
  readHash,
  startBackend,
  startEcho,
  writeRandom,
} from '../lib/sockets.js'
import { MSG_OOB, rawCalls } from '../lib/raw-sockets.js'
import { until } from '../lib/until.js'

const SHUT_RD = 0
const MIB = 1024 * 1024

const { ECONNRESET } = constants.errno

/** The behaviour of every engine with TCP, tested with real sockets. */
export function tcpSuite(engine: Engine): void {
  const publish = (
    t: Test,
    backend: SocketAddress,
    options: ListenOptions = {},
  ): Promise<Listening> => listen(t, engine, { ip: backend.ip, port: backend.port }, options)

  /** A proxy with a backend whose next connection can be taken. */
  const publishBackend = async (t: Test, options?: ListenOptions) => {
    const accepted: Socket[] = []
    const backend = await startBackend(t, (socket) => accepted.push(socket))
    const published = await publish(t, backend, options)
    const join = async (): Promise<{ client: Socket; server: Socket }> => {
      const [client] = await Promise.all([
        dial(t, published.port),
        once(backend.server, 'connection'),
      ])
      const server = accepted.shift()
      if (!server) throw new Error('no connection came')
      return { client, server }
    }
    return { ...published, backend, join }
  }

  /** A proxy with a backend of raw descriptors, so that events happen before the proxy has its turn. */
  const publishRaw = async (t: Test) => {
    const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
    const raw = rawCalls()
    t.teardown(() => raw.close(fd))
    return { raw, fd, ...(await publish(t, { ip: '127.0.0.1', port })) }
  }

  const families = [
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    ['127.0.0.1', '::1'],
    ['::1', '127.0.0.1'],
  ] as const
  for (const [hostIp, containerIp] of families) {
    t.test(`forwards from ${hostIp} to ${containerIp}`, async (t) => {
      const { proxy, port } = await publish(t, await startEcho(t, containerIp), { ip: hostIp })
      t.equal(proxy.address.ip, hostIp)
      t.equal(await exchange(t, port, 'hello', hostIp), 'hello')
    })
  }

  t.test('0.0.0.0 listens on IPv4 only, :: on IPv6 only, so one port serves both', async (t) => {
    const echo = await startEcho(t)
    const v4 = await publish(t, echo, { ip: '0.0.0.0' })
    const v6 = await publish(t, echo, { ip: '::', port: v4.port })
    t.equal(v6.port, v4.port)
    t.equal(await exchange(t, v4.port, 'four'), 'four')
    t.equal(await exchange(t, v6.port, 'six', '::1'), 'six')
    t.equal(v4.proxy.counters.accepted, 1)
    t.equal(v6.proxy.counters.accepted, 1)
  })

  t.test('distinct loopback addresses share a port', async (t) => {
    const echo = await startEcho(t)
    const first = await publish(t, echo)
    await publish(t, echo, { ip: '127.0.0.2', port: first.port })
    t.equal(await exchange(t, first.port, 'one'), 'one')
    t.equal(await exchange(t, first.port, 'two', '127.0.0.2'), 'two')
  })

  t.test('a dual-stack listening descriptor is reached by both families', async (t) => {
    const { fd, port } = await listeningDescriptor(t, { host: '::', ipv6Only: false })
    const { proxy } = await publish(t, await startEcho(t), { listenFd: fd })
    t.equal(proxy.address.port, port)
    t.equal(await exchange(t, port, 'four'), 'four')
    t.equal(await exchange(t, port, 'six', '::1'), 'six')
  })

  t.test('a port is not forwarded to itself, and the port is free afterwards', async (t) => {
    const port = freeRow(1)
    for (const [ip, containerIp] of [
      ['127.0.0.1', '127.0.0.1'],
      ['0.0.0.0', '127.0.0.9'],
      ['::', '::1'],
      ['127.0.0.1', ''],
      ['127.0.0.1', '0.0.0.0'],
      ['0.0.0.0', '0.0.0.0'],
      ['::1', '::'],
    ] as const) {
      await t.rejects(
        listen(t, engine, { ip: containerIp, port }, { ip, port }),
        {
          code: 'ELOOP',
          message: /can't forward tcp\/.* that is this proxy itself; choose another/,
        },
        `${ip} to ${containerIp}`,
      )
    }
    const { proxy } = await listen(t, engine, { ip: '127.0.0.2', port }, { port })
    t.equal(proxy.address.port, port, 'another address may have the same port')
  })

  t.test('clients that came before the proxy are served from the backlog', async (t) => {
    const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
    const early = await dial(t, port)
    early.end('early')
    await publish(t, await startEcho(t), { listenFd: fd })
    t.equal(await readAll(early), 'early')
  })

  t.test('a taken port is refused in the words of the original', async (t) => {
    const { port } = await publish(t, await startEcho(t))
    await t.rejects(publish(t, { ip: '127.0.0.1', port: 1 }, { port }), {
      code: 'EADDRINUSE',
      message: `failed to listen on 127.0.0.1:${port}: listen tcp4 127.0.0.1:${port}: bind: address already in use`,
    })
  })

  t.test('an address of another machine is refused in the words of the original', async (t) => {
    await t.rejects(publish(t, { ip: '127.0.0.1', port: 1 }, { ip: '2001:db8::1' }), {
      code: 'EADDRNOTAVAIL',
      message:
        'failed to listen on [2001:db8::1]:0: listen tcp6 [2001:db8::1]:0: bind: cannot assign requested address',
    })
  })

  t.test('an impossible port is refused, and the hint says what is possible', async (t) => {
    for (const hostPort of [-1, 65_536]) {
      await t.rejects(publish(t, { ip: '127.0.0.1', port: 1 }, { port: hostPort }), {
        code: 'EINVAL',
        message: `failed to listen on 127.0.0.1:${hostPort}: listen tcp4 127.0.0.1:${hostPort}: bind: invalid argument`,
        hint: '-host-port must be between 0 and 65535',
      })
    }
  })

  t.test('the client ends its side, and still gets the answer', async (t) => {
    const { join } = await publishBackend(t)
    const { client, server } = await join()
    client.end('question')
    t.equal(await readAll(server), 'question')
    server.write('late ')
    t.equal(await readBytes(client, 5), 'late ')
    server.end('answer')
    t.equal(await readAll(client), 'answer')
  })

  t.test('the backend ends its side, and still gets the rest', async (t) => {
    const { join } = await publishBackend(t)
    const { client, server } = await join()
    server.end('greeting')
    t.equal(await readAll(client), 'greeting')
    client.write('some ')
    t.equal(await readBytes(server, 5), 'some ')
    client.end('more')
    t.equal(await readAll(server), 'more')
  })

  t.test('both sides close when both directions have ended', async (t) => {
    const { join, proxy } = await publishBackend(t)
    const { client, server } = await join()
    t.equal(proxy.counters.active, 1)
    client.end()
    server.end()
    client.resume()
    server.resume()
    await Promise.all([once(client, 'close'), once(server, 'close')])
    // One more connection: its end shows that the first has been counted.
    const next = await join()
    next.client.destroy()
    t.equal(proxy.counters.active, 1)
    t.equal(proxy.counters.accepted, 2)
  })

  t.test('counts how long connections lived, and when a slow side made it pause', async (t) => {
    const { join, proxy } = await publishBackend(t)
    const { client, server } = await join()
    t.same(proxy.durations, {})
    t.match(proxy.counters, { pausedIn: 0, pausedOut: 0 })
    const upload = Buffer.alloc(16 * 1024 * 1024)
    server.pause()
    client.write(upload)
    await until(() => proxy.counters.pausedIn > 0)
    t.equal(proxy.counters.pausedOut, 0)
    t.equal((await readBytes(server, upload.length)).length, upload.length)
    client.pause()
    server.write(upload)
    await until(() => proxy.counters.pausedOut > 0)
    client.destroy()
    server.destroy()
    await until(() => proxy.durations.durations !== undefined)
    const { counts = [], sumMs = -1 } = proxy.durations.durations ?? {}
    t.equal(
      counts.reduce((sum, count) => sum + count, 0),
      1,
    )
    t.ok(sumMs >= 0)
  })

  t.test('a reset by the client becomes a reset at the backend', async (t) => {
    const { join } = await publishBackend(t)
    const { client, server } = await join()
    client.write('half an upl')
    await readBytes(server, 11)
    client.resetAndDestroy()
    t.equal(await breakage(server), 'ECONNRESET')
  })

  t.test('a reset by the backend becomes a reset at the client', async (t) => {
    const { join } = await publishBackend(t)
    const { client, server } = await join()
    server.write('half an ans')
    await readBytes(client, 11)
    server.resetAndDestroy()
    t.equal(await breakage(client), 'ECONNRESET')
  })

  t.test('a reset right behind data arrives as data and a reset', async (t) => {
    const { raw, fd, port, proxy } = await publishRaw(t)
    const join = async (): Promise<{ client: number; server: number }> => {
      const client = raw.connect(port)
      const server = await raw.accept(fd)
      raw.send(client, 'hello')
      t.equal(await raw.next(server), 'hello')
      return { client, server }
    }
    for (const answers of [false, true]) {
      for (const resets of ['client', 'server'] as const) {
        const both = await join()
        const [first, other] =
          resets === 'client' ? [both.client, both.server] : [both.server, both.client]
        // All of it at once, before the proxy has its turn.
        if (answers) raw.send(other, 'what it will not take')
        raw.send(first, 'half')
        raw.reset(first)
        t.equal(await raw.next(other), 'half', `the ${resets} resets`)
        t.equal(await raw.next(other), -ECONNRESET)
        raw.close(other)
      }
    }
    await until(() => proxy.counters.active === 0)
  })

  t.test('urgent data takes nothing with it', async (t) => {
    const raw = rawCalls()
    for (const size of [10, 300_000, 5 * MIB]) {
      const { join } = await publishBackend(t)
      const { client, server } = await join()
      const data = Buffer.alloc(size, 'x')
      const received = readHash(server)
      await new Promise((resolve) => client.write(data, resolve))
      raw.send(descriptorOf(client) ?? -1, '!', MSG_OOB)
      await new Promise((resolve) => client.write(data, resolve))
      client.end()
      // The urgent byte itself is dropped, as in the original.
      t.equal((await received).size, 2 * size)
    }
  })

  t.test('a reset after a half-close is passed on as well', async (t) => {
    const { join } = await publishBackend(t)
    const { client, server } = await join()
    client.end('question')
    t.equal(await readAll(server), 'question')
    server.resetAndDestroy()
    t.equal(await breakage(client), 'ECONNRESET')
  })

  t.test('data with a reset right behind it, and before the backend was reached', async (t) => {
    const { raw, fd, port, proxy } = await publishRaw(t)
    for (let i = 0; i < 10; i++) {
      const client = raw.connect(port)
      raw.send(client, 'last words')
      raw.reset(client)
      const server = await raw.accept(fd)
      t.equal(await raw.next(server), 'last words')
      t.equal(await raw.next(server), -ECONNRESET)
      raw.close(server)
    }
    await until(() => proxy.counters.active === 0)
  })

  t.test('a reset by one of two clients leaves the other alone', async (t) => {
    const { join } = await publishBackend(t)
    const first = await join()
    const second = await join()
    first.client.resetAndDestroy()
    await breakage(first.server)
    second.client.end('still here')
    t.equal(await readAll(second.server), 'still here')
  })

  t.test('data sent before the backend answered arrives', async (t) => {
    // The backlog is full: the dial hangs until a process accepts.
    const silent = await listeningDescriptor(t, { host: '127.0.0.1', backlog: 1 })
    await Promise.all([dial(t, silent.port), dial(t, silent.port)])
    const { port, proxy } = await publish(t, { ip: '127.0.0.1', port: silent.port })
    const client = await dial(t, port)
    client.end('early')
    const { port: awake } = await publish(t, await startEcho(t), { listenFd: silent.fd })
    t.equal(awake, silent.port)
    t.equal(await readAll(client), 'early')
    t.equal(proxy.counters.failedDials, 0)
  })

  t.test('a client that gives up while the backend is silent leaves nothing behind', async (t) => {
    const silent = await listeningDescriptor(t, { host: '127.0.0.1', backlog: 1 })
    await Promise.all([dial(t, silent.port), dial(t, silent.port)])
    const { port, proxy } = await publish(t, { ip: '127.0.0.1', port: silent.port })
    const client = await dial(t, port)
    client.write('anybody there?')
    client.resetAndDestroy()
    await publish(t, await startEcho(t), { listenFd: silent.fd })
    t.equal(await exchange(t, port, 'next'), 'next')
    await until(() => proxy.counters.active === 0)
    t.equal(proxy.counters.accepted, 2)
  })

  t.test('a backend that is down closes the client, is reported, and stops nothing', async (t) => {
    const backend = await startEcho(t)
    const { port, log, proxy } = await publish(t, backend)
    backend.server.close()
    await once(backend.server, 'close')
    const told = once(log, 'line')
    const client = await dial(t, port)
    const ended = once(client.resume(), 'end')
    const address = `127.0.0.1:${backend.port}`
    const [line] = (await told) as [string]
    t.equal(
      line,
      `Can't forward traffic to backend tcp/${address}: dial tcp ${address}: connect: connection refused`,
    )
    await ended
    backend.server.listen(backend.port, backend.ip)
    await once(backend.server, 'listening')
    t.equal(await exchange(t, port, 'again'), 'again')
    t.match(proxy.counters, { accepted: 2, failedDials: 1 })
  })

  t.test('a container port that can not be fails each dial, not the proxy', async (t) => {
    const { port, log } = await publish(t, { ip: '127.0.0.1', port: 70_000 })
    const told = once(log, 'line')
    const client = await dial(t, port)
    const ended = once(client.resume(), 'end')
    const [line] = (await told) as [string]
    t.match(line, "Can't forward traffic to backend tcp/127.0.0.1:70000: ")
    await ended
    await dial(t, port)
  })

  t.test('64 MiB each way at once arrive byte for byte', async (t) => {
    const { join } = await publishBackend(t)
    const { client, server } = await join()
    const size = 64 * MIB
    const [up, down, upRead, downRead] = await Promise.all([
      writeRandom(client, size),
      writeRandom(server, size),
      readHash(server),
      readHash(client),
    ])
    t.same(upRead, { hash: up, size })
    t.same(downRead, { hash: down, size })
  })

  t.test('a reader that stops holds the writer back, and gets all when it goes on', async (t) => {
    const { join } = await publishBackend(t)
    const { client, server } = await join()
    const size = 32 * MIB
    const written = writeRandom(client, size)
    // The other direction and other connections are not delayed by it.
    server.write('meanwhile')
    t.equal(await readBytes(client, 9), 'meanwhile')
    const other = await join()
    other.client.end('other')
    t.equal(await readAll(other.server), 'other')
    t.ok(client.writableNeedDrain)
    const { hash } = await readHash(server)
    t.equal(hash, await written)
  })

  t.test('a reset of one side while the other is slow to read its last data', async (t) => {
    const { join, proxy } = await publishBackend(t)
    const { client, server } = await join()
    const size = 16 * MIB
    const written = writeRandom(client, size)
    server.pause()
    await Promise.race([once(client, 'finish'), readBytes(server, MIB)])
    server.resetAndDestroy()
    t.ok(['ECONNRESET', 'EPIPE'].includes((await breakage(client)) ?? ''))
    written.catch(() => undefined)
    const next = await join()
    next.client.end('next')
    t.equal(await readAll(next.server), 'next')
    t.equal(proxy.counters.accepted, 2)
  })

  t.test('an answer that a reset follows arrives before it, as without a proxy', async (t) => {
    // Small enough for any window: the server's own reset drops what its kernel has not sent.
    const size = 16 * 1024
    // A server that refuses an upload: it reads a little, answers, and closes with unread data.
    const backend = await startBackend(t, (socket) => {
      socket.once('data', () => {
        socket.pause()
        socket.write(Buffer.alloc(size, 'r'), () => socket.destroy())
      })
    })
    const { port } = await publish(t, backend)
    for (let i = 0; i < 10; i++) {
      const client = await dial(t, port)
      let received = 0
      const count = (chunk: Buffer): void => void (received += chunk.length)
      client.on('data', count)
      // The client is Node as well: if its upload fails, it drops received data.
      deliverUnreadData(client, count)
      const broken = once(client, 'error')
      const upload = Buffer.alloc(MIB)
      const push = (): void => {
        while (!client.destroyed && client.write(upload));
      }
      client.on('drain', push)
      push()
      await broken
      t.equal(received, size)
    }
  })

  t.test('500 connections at once', async (t) => {
    const { port, proxy } = await publish(t, await startEcho(t))
    const names = Array.from({ length: 500 }, (_, i) => `client ${i}`)
    const answers = await Promise.all(names.map((name) => exchange(t, port, name)))
    t.same(answers, names)
    t.equal(proxy.counters.accepted, 500)
  })

  t.test(
    'out of descriptors new clients wait, this is reported once, and they are served',
    async (t) => {
      const { backend, join, log, port, proxy } = await publishBackend(t, { capacity: 4 })
      const first = await join()
      const second = await join()
      await join()
      await join()
      t.same(log.lines, ['Out of file descriptors: new connections wait until others end'])
      const waiting = await dial(t, port)
      waiting.end('patient')
      // Traffic continues meanwhile, and no new client is accepted.
      first.client.write('ping')
      t.equal(await readBytes(first.server, 4), 'ping')
      t.equal(proxy.counters.accepted, 4)
      second.client.destroy()
      second.server.destroy()
      const [server] = (await once(backend.server, 'connection')) as [Socket]
      t.equal(await readAll(server), 'patient')
      // The shortage continues, so it is not reported again.
      t.equal(log.lines.length, 1)
    },
  )

  t.test('a broken listener is reported', async (t) => {
    const { fd } = await listeningDescriptor(t, { host: '127.0.0.1' })
    const { proxy } = await publish(t, await startEcho(t), { listenFd: fd })
    koffi.load(null).func('int shutdown(int fd, int how)')(fd, SHUT_RD)
    await t.rejects(proxy.closed, { code: 'EINVAL' })
  })

  t.test('close frees the port at once and ends the connections', async (t) => {
    const { join, port, proxy } = await publishBackend(t)
    const { client, server } = await join()
    client.write('x')
    await readBytes(server, 1)
    proxy.stop()
    await proxy.closed
    client.resume()
    server.resume()
    await Promise.all([once(client, 'end'), once(server, 'end')])
    const again = await publish(t, await startEcho(t), { port })
    t.equal(await exchange(t, again.port, 'same port'), 'same port')
    proxy.stop()
  })

  t.test('a changed backend gets the next connections, and open ones stay', async (t) => {
    const [first, second] = await Promise.all([startEcho(t), startEcho(t, '127.0.0.2')])
    const { proxy, port } = await publish(t, first)
    const client = await dial(t, port)
    client.write('before')
    await readBytes(client, 6)
    proxy.changeBackends({ addresses: [{ ip: second.ip, port: second.port }], holdMs: 0 })
    first.server.close()
    t.equal(await exchange(t, port, 'after'), 'after')
    client.write('still')
    t.equal(await readBytes(client, 5), 'still')
    proxy.changeBackends({ addresses: [{ ip: first.ip, port: first.port }], holdMs: 0 })
    const refused = await dial(t, port)
    await once(refused.resume(), 'end')
    await until(() => proxy.counters.failedDials === 1)
  })

  t.test('several backends take turns', async (t) => {
    const echoes = await Promise.all(
      ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map((ip) =>
        startBackend(t, (socket) => socket.end(socket.localAddress ?? ''), ip),
      ),
    )
    const { proxy, port } = await publish(t, echoes[0] as SocketAddress)
    proxy.changeBackends({ addresses: echoes, holdMs: 0 })
    const answers: string[] = []
    for (let i = 0; i < 6; i++) answers.push(await exchange(t, port, ''))
    t.same(answers.sort(), [
      '127.0.0.1',
      '127.0.0.1',
      '127.0.0.2',
      '127.0.0.2',
      '127.0.0.3',
      '127.0.0.3',
    ])
  })

  t.test('without a backend clients are refused, and open connections stay', async (t) => {
    const observer = new RecordingObserver()
    const echo = await startEcho(t)
    const { proxy, port } = await publish(t, echo, { observer })
    const client = await dial(t, port)
    client.write('before')
    await readBytes(client, 6)
    proxy.changeBackends({ addresses: [], holdMs: 0 })
    t.equal(await exchange(t, port, ''), '')
    t.match(proxy.counters, { accepted: 2, active: 1, failedDials: 1 })
    t.match(proxy.dialFailures.lastFailedDial, { reason: 'no container to forward to' })
    client.write('still')
    t.equal(await readBytes(client, 5), 'still')
    proxy.changeBackends({ addresses: [echo], holdMs: 0 })
    t.equal(await exchange(t, port, 'after'), 'after')
  })

  t.test('held clients wait for a backend, and for its listener', async (t) => {
    const { proxy, port } = await publish(t, await startEcho(t))
    proxy.changeBackends({ addresses: [], holdMs: 60_000 })
    const answers = ['a', 'b', 'c'].map((text) => exchange(t, port, text))
    await until(() => proxy.counters.active === 3)
    // Nobody listens there yet.
    const address = { ip: '127.0.0.1', port: freeRow(1) }
    proxy.changeBackends({ addresses: [address], holdMs: 60_000 })
    const gone = await dial(t, port)
    gone.resetAndDestroy()
    await until(() => proxy.counters.accepted === 4)
    await startEcho(t, address.ip, address.port)
    t.same(await Promise.all(answers), ['a', 'b', 'c'])
    t.equal(proxy.counters.failedDials, 0)
    await until(() => proxy.counters.active === 0)
  })

  t.test('a held client is refused after its time, and when the proxy stops', async (t) => {
    const { proxy, port } = await publish(t, await startEcho(t))
    proxy.changeBackends({ addresses: [], holdMs: 1 })
    t.equal(await exchange(t, port, ''), '')
    t.match(proxy.counters, { failedDials: 1, active: 0 })
    proxy.changeBackends({ addresses: [], holdMs: 60_000 })
    const client = await dial(t, port)
    await until(() => proxy.counters.active === 1)
    proxy.stop()
    await proxy.closed
    await once(client.resume(), 'end')
    t.equal(proxy.counters.active, 0)
  })

  t.test(
    'a dial to a backend that has left is cancelled, and its client goes elsewhere',
    async (t) => {
      const observer = new RecordingObserver()
      const silent = await listeningDescriptor(t, {
        host: '127.0.0.1',
        port: freeRow(1),
        backlog: 1,
      })
      t.teardown(() => closeSync(silent.fd))
      await Promise.all([dial(t, silent.port), dial(t, silent.port)])
      const { proxy, port } = await publish(t, { ip: '127.0.0.1', port: silent.port }, { observer })
      const answer = exchange(t, port, 'hello')
      await until(() => proxy.counters.accepted === 1)
      const echo = await startEcho(t)
      proxy.changeBackends({ addresses: [echo], holdMs: 0 })
      t.equal(await answer, 'hello')
      t.same(observer.failedDials, [])
    },
  )

  t.test('a drain lets open connections end, and then the proxy is closed', async (t) => {
    const { port, proxy } = await publish(t, await startEcho(t))
    const client = await dial(t, port)
    client.write('x')
    await readBytes(client, 1)
    proxy.stop({ drainMs: Infinity })
    await assertReleased(t, port)
    client.end('last')
    t.equal(await readAll(client), 'last')
    await proxy.closed
    t.equal(proxy.counters.active, 0)
  })

  t.test('after the drain time open connections are ended', async (t) => {
    const { port, proxy } = await publish(t, await startEcho(t))
    const client = await dial(t, port)
    client.write('x')
    await readBytes(client, 1)
    proxy.stop({ drainMs: 10 })
    await proxy.closed
    await once(client.resume(), 'end')
    await until(() => proxy.counters.active === 0)
  })

  t.test('an observer learns of each connection, and how it ended', async (t) => {
    t.intercept(Date, 'now', { value: backwards() })
    const observer = new RecordingObserver()
    const servers: Socket[] = []
    const backend = await startBackend(t, (socket) => servers.push(socket))
    const { proxy, port } = await publish(t, backend, { observer })
    const join = async (): Promise<{ client: Socket; server: Socket }> => {
      const count = servers.length
      const client = await dial(t, port)
      await until(() => servers.length > count)
      const server = servers[count]
      if (!server) throw new Error('nobody was accepted')
      client.write('ping')
      await readBytes(server, 4)
      server.write('answer')
      await readBytes(client, 6)
      return { client, server }
    }
    const endings: Record<RelayEnding, () => Promise<void>> = {
      finished: async () => {
        const { client, server } = await join()
        client.end()
        server.end()
        await Promise.all([once(client.resume(), 'end'), once(server.resume(), 'end')])
      },
      'client-reset': async () => {
        const { client, server } = await join()
        server.resume()
        client.resetAndDestroy()
      },
      'backend-reset': async () => {
        const { client, server } = await join()
        client.resume()
        server.resetAndDestroy()
      },
      'dial-failed': async () => {
        proxy.changeBackends({ addresses: [{ ip: '127.0.0.1', port: 1 }], holdMs: 0 })
        await exchange(t, port, '')
        proxy.changeBackends({ addresses: [{ ip: backend.ip, port: backend.port }], holdMs: 0 })
      },
      stopped: async () => {
        await join()
        proxy.stop()
      },
      // These belong to UDP, to balancers, and to bugs of this program.
      ...{
        idle: async () => undefined,
        'backend-changed': async () => undefined,
        evicted: async () => undefined,
        fault: async () => undefined,
        'no-header': async () => undefined,
        refused: async () => undefined,
      },
    }
    const tried = ['finished', 'client-reset', 'backend-reset', 'dial-failed', 'stopped'] as const
    for (const [i, ending] of tried.entries()) {
      await endings[ending]()
      await until(() => observer.closedRelays.length > i)
      const closed = observer.closedRelays[i]
      t.equal(closed?.ending, ending)
      t.match(closed?.client, /^127\.0\.0\.1:\d+$/)
      t.ok(
        closed && closed.durationMs >= 0 && closed.durationMs < HOUR_MS,
        'a clock step is none of its time',
      )
      if (ending !== 'dial-failed') t.match(closed, { bytesIn: 4, bytesOut: 6 })
    }
    t.equal(observer.acceptedCount, tried.length)
    t.match(observer.failedDials, [{ backend: { ip: '127.0.0.1', port: 1 }, code: 'ECONNREFUSED' }])
    t.strictSame(observer.faults, [])
  })
}
