import type { Test } from 'tap'
import type { SocketAddress } from '../../src/linux/sockets/socket-address.js'
import { DescriptorBudget } from '../../src/proxy/descriptor-budget.js'
import type { Engine, Proxy } from '../../src/proxy/engine.js'
import { LogObserver } from '../../src/proxy/log-observer.js'
import type { ProxyObserver } from '../../src/proxy/observer.js'
import { DEFAULT_PORT_OPTIONS, type PortOptions } from '../../src/proxy/port-options.js'
import type { PublishedPort } from '../../src/proxy/published-port.js'
import { MemoryLog } from './memory-log.js'

export interface ListenOptions extends Partial<PublishedPort> {
  /** Relays that the process may have. */
  readonly capacity?: number
  readonly udpIdleMs?: number
  readonly log?: MemoryLog
  readonly observer?: ProxyObserver
  readonly portOptions?: Partial<PortOptions> | undefined
}

export interface Listening {
  readonly proxy: Proxy
  readonly port: number
  /** The log of the port. */
  readonly log: MemoryLog
}

/** Publishes a TCP port on 127.0.0.1, unless `options` say otherwise. The proxy is stopped when the test ends. */
export async function listen(
  t: Test,
  engine: Engine,
  container: SocketAddress,
  options: ListenOptions = {},
): Promise<Listening> {
  const { capacity, udpIdleMs, log = new MemoryLog(), observer, portOptions, ...rest } = options
  const port: PublishedPort = { protocol: 'tcp', ip: '127.0.0.1', port: 0, container, ...rest }
  const proxy = await engine.listen(
    port,
    {
      observer: observer ?? new LogObserver(log, port),
      portOptions: { ...DEFAULT_PORT_OPTIONS, ...portOptions },
      ...(udpIdleMs === undefined ? {} : { udpIdleMs }),
    },
    { descriptors: new DescriptorBudget(capacity) },
  )
  t.teardown(() => proxy.stop())
  return { proxy, port: proxy.address.port, log }
}
