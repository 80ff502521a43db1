import { peerAddress } from '../../linux/sockets/endpoints.js'
import { MessageBatch } from '../../linux/sockets/message-batch.js'
import { NodePoller } from '../../linux/sockets/node-poller.js'
import type { Log } from '../../log/log.js'
import type { SocketAddress } from '../../linux/sockets/socket-address.js'
import type { Backend } from '../backend.js'
import { listenForConnections } from '../connection-proxy.js'
import {
  type Listener,
  type ListenerEvents,
  type Pauses,
  type Relay,
  type RelayEvents,
  type Transport,
} from '../transport.js'
import { listenForDatagrams } from '../datagram-proxy.js'
import { maxThreads, pipesPerThread } from '../descriptor-shares.js'
import type { Engine } from '../engine.js'
import { DEFAULT_PORT_OPTIONS, type PortOptions } from '../port-options.js'
import type { PublishedPort } from '../published-port.js'
import { userTimeoutOf } from '../relay-limits.js'
import type { ParsedHeader } from '../parse-proxy-header.js'
import type { ClientConnection } from '../proxy-header.js'
import { HeaderReader } from './header-reader.js'
import { NativeListener } from './listener.js'
import { openReactor, type Reactor } from './reactor.js'
import { udpTransport } from './udp-transport.js'
import { Workers, type RelayFactory } from './workers.js'

/**
 * Opens the native Linux engine: epoll and splice, called from Node's event loop.
 *
 * @param log for what concerns the engine, not one port
 * @param threads that may move data if one is not enough
 * @throws Error that says why the engine is not available on this platform
 */
export function openNativeEngine(log: Log, threads = 1): Engine {
  const pipes = (): number => pipesPerThread(maxThreads(threads))
  const reactor = openReactor(() => new NodePoller(), pipes)
  return nativeEngine(reactor, new Workers(reactor, log, threads))
}

export function nativeEngine(reactor: Reactor<NodePoller>, workers: Workers): Engine {
  let batch: MessageBatch | undefined
  return {
    name: 'native',
    async listen(port, options, context) {
      switch (port.protocol) {
        case 'tcp':
        case 'sctp': {
          const transport = new NativeTransport(
            reactor,
            port,
            workers,
            options.portOptions ?? DEFAULT_PORT_OPTIONS,
          )
          return listenForConnections(transport, port, options, context)
        }
        case 'udp': {
          const transport = udpTransport(reactor, (batch ??= new MessageBatch()))
          return listenForDatagrams(transport, port, options, context)
        }
      }
    },
  }
}

const UNKNOWN: SocketAddress = { ip: '?', port: 0 }

/** Accepts and relays the connections of one port. */
class NativeTransport implements Transport<number> {
  readonly #relays: RelayFactory
  #listener: NativeListener | undefined

  constructor(
    private readonly reactor: Reactor,
    port: PublishedPort,
    workers: Workers,
    private options: PortOptions,
  ) {
    this.#relays = workers.relayFactory(port.protocol, options)
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- an exception becomes a rejection
  async openListener(port: PublishedPort, events: ListenerEvents<number>): Promise<Listener> {
    this.#listener = new NativeListener(
      ...([this.reactor, port, events, () => this.#relays.close()] as const),
      userTimeoutOf(this.options),
    )
    return this.#listener
  }

  changeOptions(options: PortOptions): void {
    this.options = options
    this.#relays.changeOptions(options)
    this.#listener?.changeUserTimeout(userTimeoutOf(options))
  }

  get pauses(): Pauses {
    return this.#relays.pauses
  }

  openRelay(
    client: number,
    backend: Backend,
    events: RelayEvents<number>,
    announced: ClientConnection | undefined,
  ): Relay {
    return this.#relays.open(client, backend, events, announced)
  }

  readHeader(client: number, done: (header: ParsedHeader | undefined) => void): () => void {
    const reader = new HeaderReader(this.reactor, client, done)
    return () => reader.stop()
  }

  /** The events of its relay tell whether it has gone. */
  isOpen(): boolean {
    return true
  }

  discard(client: number): void {
    this.reactor.poller.close(client)
  }

  clientAddress(client: number): SocketAddress {
    try {
      return peerAddress(client) ?? UNKNOWN
    } catch {
      return UNKNOWN // The client has gone already.
    }
  }
}
