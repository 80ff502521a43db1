import { deferred } from '../deferred.js'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { Seldom } from '../log/seldom.js'
import { noCounters, type Proxy, type ProxyContext } from './engine.js'
import { FlowTable, type TableEntry } from './flow-table.js'
import { hasBackend, joinHostPort, type PublishedPort } from './published-port.js'

/** A flow on which nothing has come from either side for so long is over, milliseconds; as the original's. */
const IDLE_MS = 90_000
/** A datagram that met the backend's refusal of an earlier one is sent so many times again. */
export const MAX_RETRIES = 3
/** How often failures are told, milliseconds. */
const TELL_AGAIN_MS = 1_000
/** Room for a burst of datagrams, bytes; the kernel cuts it down to net.core.rmem_max, see socket(7). */
export const RECEIVE_BUFFER = 2 * 1024 * 1024
/** Where the original's table grows with whoever sends, ours ends. */
const MAX_FLOWS = 16_384
/** A flow has one socket, and a relay has two. */
const RELAYS_OF_FLOW = 1 / 2

/**
 * What an engine brings to a proxy of datagrams. `Datagram` is one that was received, in the engine's own form, and good until
 * the call that brought it returns.
 */
export interface DatagramTransport<Datagram> {
  /** Binds the port, or takes the socket handed over. Rejects with ListenError. */
  openSocket(port: PublishedPort, events: PortSocketEvents<Datagram>): Promise<PortSocket>
  /** Opens a socket of its own to the backend for the sender of `first`, who gets the answers. */
  openFlow(first: Datagram, port: PublishedPort, events: FlowEvents): Flow<Datagram>
}

/** The socket that clients send to. */
export interface PortSocket {
  readonly address: Proxy['address']
  readonly fd: number | undefined
  /** Receives no more, though answers can still be sent; false where this can't be had. */
  pause(): boolean
  /** May be called again. */
  close(): void
}

export interface PortSocketEvents<Datagram> {
  /**
   * @param sender what tells the sender from all others
   * @param bytes that it holds
   */
  readonly received: (sender: string, datagram: Datagram, bytes: number) => void
  readonly broken: (err: Error) => void
  /** The engine is at fault; the socket lives on. */
  readonly failed: (err: unknown) => void
}

/** One client's datagrams to the backend, and what comes back. */
export interface Flow<Datagram> {
  send(datagram: Datagram): void
  /** May be called again. */
  close(): void
}

export interface FlowEvents {
  /** The backend has answered with so many bytes. */
  readonly answered: (bytes: number) => void
  /** Its socket has an error. Not called before openFlow has returned, nor after `close`. */
  readonly broken: (err: Error) => void
}

/**
 * Publishes a UDP port. Rejects with ListenError.
 *
 *     client A ──▶ ┌──────────┐ ──▶ A's own socket ──▶ backend    a flow for each client address, so that the
 *     client B ──▶ │ one port │ ──▶ B's own socket ──▶           backend can tell them apart and answers find
 *              ◀── └──────────┘ ◀──                              their way back
 */
export async function listenForDatagrams<Datagram>(
  transport: DatagramTransport<Datagram>,
  port: PublishedPort,
  { log, descriptors, udpIdleMs = IDLE_MS }: ProxyContext,
): Promise<Proxy> {
  const counters = noCounters()
  /** Whoever sends could fill the log with them. */
  const failures = new Seldom(TELL_AGAIN_MS)
  const flows = new FlowTable<Flow<Datagram>>()
  const { promise: closed, resolve, reject } = deferred()
  let isClosed = false
  let isDraining = false

  const end = (entry: TableEntry<Flow<Datagram>>): void => {
    if (!flows.delete(entry)) return
    entry.flow.close()
    counters.active--
    descriptors.give(RELAYS_OF_FLOW)
    if (isDraining && counters.active === 0) close()
  }
  const begin = (sender: string, first: Datagram): TableEntry<Flow<Datagram>> => {
    if (descriptors.exhausted && descriptors.isShortageWorthAWord()) {
      log.warn('Out of file descriptors: each new client ends the flow that was idle the longest', {
        flows: flows.size,
      })
    }
    while (flows.oldest && (flows.size >= MAX_FLOWS || descriptors.exhausted)) end(flows.oldest)
    const flow = transport.openFlow(first, port, {
      answered(bytes) {
        counters.bytesOut += bytes
        flows.touch(entry, performance.now())
      },
      broken(err) {
        // A backend that is down now may be up when the client asks again.
        if (errnoCode(err) === 'ECONNREFUSED') return
        counters.failedDials++
        end(entry)
        if (!failures.isDue()) return
        const backend = joinHostPort(port.containerIp, port.containerPort)
        log.error(`Can't proxy a datagram to udp/${backend}: ${errnoReason(err)}`)
      },
    })
    const entry = flows.add(sender, flow)
    counters.accepted++
    counters.active++
    descriptors.take(RELAYS_OF_FLOW)
    return entry
  }

  const sweep = setInterval(() => {
    const limit = performance.now() - udpIdleMs
    while (flows.oldest && flows.oldest.usedAt <= limit) end(flows.oldest)
  }, udpIdleMs / 4)
  sweep.unref()
  const close = (reason?: Error): void => {
    if (isClosed) return
    isClosed = true
    clearInterval(sweep)
    socket.close()
    while (flows.oldest) end(flows.oldest)
    if (reason) reject(reason)
    else resolve()
  }

  const socket = await transport
    .openSocket(port, {
      received(sender, datagram, bytes) {
        counters.bytesIn += bytes
        // Nobody is there, as the log said when the port was published.
        if (!hasBackend(port)) {
          counters.failedDials++
          return
        }
        const entry = flows.get(sender) ?? begin(sender, datagram)
        flows.touch(entry, performance.now())
        entry.flow.send(datagram)
      },
      broken: close,
      failed: (err) => log.error(`A datagram was lost by a fault of the proxy: ${String(err)}`),
    })
    .catch((err: unknown) => {
      clearInterval(sweep)
      throw err
    })
  return {
    address: socket.address,
    get listenFd() {
      return socket.fd
    },
    counters,
    drain() {
      isDraining = true
      if (!socket.pause() || counters.active === 0) close()
    },
    close: () => close(),
    closed,
  }
}
