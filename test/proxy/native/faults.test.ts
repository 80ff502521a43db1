import { once } from 'node:events'
import t from 'tap'
import { countOpenDescriptors } from '../../../src/linux/proc/descriptors.js'
import { DescriptorBudget } from '../../../src/proxy/descriptor-budget.js'
import { listenForConnections } from '../../../src/proxy/connection-proxy.js'
import { Dialer } from '../../../src/proxy/native/dialer.js'
import { NodePoller } from '../../../src/linux/sockets/node-poller.js'
import { openReactor } from '../../../src/proxy/native/reactor.js'
import { EventQueue } from '../../../src/linux/sockets/event-queue.js'
import { NativeListener } from '../../../src/proxy/native/listener.js'
import { NativeRelay, type NativeRelayEvents } from '../../../src/proxy/native/relay.js'
import { LogObserver } from '../../../src/proxy/log-observer.js'
import { RelayLimits } from '../../../src/proxy/relay-limits.js'
import { NO_PAUSES } from '../../../src/proxy/transport.js'
import type { PublishedPort } from '../../../src/proxy/published-port.js'
import { MemoryLog } from '../../lib/memory-log.js'
import { dial, exchange, readAll, readBytes, startEcho } from '../../lib/sockets.js'

t.test('a fault of the engine ends one connection, and is reported', async (t) => {
  const echo = await startEcho(t)
  const port: PublishedPort = {
    protocol: 'tcp',
    ip: '127.0.0.1',
    port: 0,
    container: { ip: echo.ip, port: echo.port },
  }
  const sound = openReactor(() => new NodePoller())
  /** The same system calls, but reading from these sockets throws. */
  const cursed = new Set<number>()
  const reactor = {
    ...sound,
    syscalls: {
      ...sound.syscalls,
      receive(fd: number, address: number, length: number) {
        if (cursed.has(fd)) throw new Error('a bug')
        return sound.syscalls.receive(fd, address, length)
      },
    },
  }
  const log = new MemoryLog()
  let last = -1
  let isBroken = false
  const limits = new RelayLimits(() => undefined)
  const proxy = await listenForConnections<number>(
    {
      openListener: (_, events) =>
        Promise.resolve(new NativeListener(reactor, port, events, () => undefined, 0)),
      openRelay(client, backend, events) {
        if (isBroken) throw new Error('no relay')
        last = client
        const dialer = new Dialer(reactor, 'tcp', backend)
        const relayPort = { isSctp: false, sendProxy: undefined, limits, queue: new EventQueue() }
        const relayEvents: NativeRelayEvents = {
          dialEnded: (relay, given, err) => events.dialEnded(relay, given, backend, err),
          dialWaits: () => events.dialWaits(backend),
          relayFaulted: (err) => events.relayFaulted(err),
          relayClosed: (relay, ending) => events.relayClosed(relay, ending),
        }
        return new NativeRelay(reactor, relayEvents, client, dialer, relayPort)
      },
      isOpen: () => true,
      discard: (client) => reactor.poller.close(client),
      clientAddress: () => ({ ip: '?', port: 0 }),
      changeOptions: () => undefined,
      pauses: NO_PAUSES,
      readHeader: () => () => undefined,
    },
    port,
    { observer: new LogObserver(log, { protocol: 'tcp', ip: '127.0.0.1', port: 0 }) },
    { descriptors: new DescriptorBudget() },
  )
  t.teardown(() => proxy.stop())

  const before = countOpenDescriptors()
  const victim = await dial(t, proxy.address.port)
  victim.write('fine')
  t.equal(await readBytes(victim, 4), 'fine')
  cursed.add(last)
  const neighbour = await dial(t, proxy.address.port)
  const line = once(log, 'line')
  const closed = once(victim, 'close')
  victim.resume()
  victim.write('not fine')
  t.same(await line, ['An internal error ended a connection: a bug'])
  await closed.catch(() => undefined)
  neighbour.write('as ever')
  t.equal(await readBytes(neighbour, 7), 'as ever')
  cursed.clear()
  t.equal(await exchange(t, proxy.address.port, 'next'), 'next')
  t.equal(proxy.counters.active, 1)

  isBroken = true
  const refused = await dial(t, proxy.address.port)
  const reported = once(log, 'line')
  t.equal(await readAll(refused), '')
  refused.destroy()
  t.match(await reported, [/no relay/])
  t.equal(proxy.counters.active, 1)
  neighbour.destroy()
  victim.destroy()
  t.ok(countOpenDescriptors() >= before)
})
