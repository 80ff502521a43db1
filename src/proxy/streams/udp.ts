import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { errnoReason } from '../../linux/errno.js'
import type { Counters, Proxy, ProxyContext } from '../engine.js'
import { bindError, invalidArgument, isPort } from '../listen-error.js'
import { checkListenFd, listenFdError } from '../listen-fd.js'
import { joinHostPort, type PublishedPort } from '../published-port.js'
import { deferred } from '../../deferred.js'
import { openFlow, type UdpFlow } from './udp-flow.js'

/** A flow on which nothing has come from either side for so long is over, milliseconds; as the original's. */
const IDLE_MS = 90_000
/** Where the original's table grows with whoever sends, ours ends. */
const MAX_FLOWS = 16_384

/**
 * Publishes a UDP port on dgram sockets.
 *
 *     client A ──▶ ┌──────────┐ ──▶ A's own socket ──▶ backend    a flow for each client address, so that the
 *     client B ──▶ │ one port │ ──▶ B's own socket ──▶           backend can tell them apart and answers find
 *              ◀── └──────────┘ ◀──                              their way back
 */
export async function listenUdp(port: PublishedPort, context: ProxyContext): Promise<Proxy> {
  const { log, descriptors, udpIdleMs = IDLE_MS } = context
  const counters: Counters = { accepted: 0, active: 0, failedDials: 0 }
  /** By client, the one that was idle the longest first. */
  const flows = new Map<string, UdpFlow>()
  const { promise: closed, resolve, reject } = deferred()

  const backend = joinHostPort(port.containerIp, port.containerPort)
  const socket = await bind(port)
  const { address: ip, port: bound } = socket.address()
  if (ip === '0.0.0.0' || ip === '::') {
    log.warn(
      `Replies from ${ip} leave from the address that the kernel chooses: with several addresses, publish on one`,
    )
  }

  const end = (client: string, flow: UdpFlow): void => {
    if (flows.get(client) !== flow) return
    flows.delete(client)
    flow.close()
    counters.active--
    descriptors.give()
  }
  const begin = (client: string, from: RemoteInfo): UdpFlow => {
    while (flows.size >= MAX_FLOWS || (descriptors.exhausted && flows.size > 0)) endOldest()
    const flow = openFlow(
      port,
      (reply) => {
        touch(client, flow)
        socket.send(reply, from.port, from.address, () => undefined)
      },
      (err) => {
        counters.failedDials++
        log.error(`Can't proxy a datagram to udp/${backend}: ${errnoReason(err)}`)
        end(client, flow)
      },
    )
    counters.accepted++
    counters.active++
    descriptors.take()
    return flow
  }
  const endOldest = (): void => {
    const [oldest] = flows
    if (oldest) end(...oldest)
  }
  const touch = (client: string, flow: UdpFlow): void => {
    flow.usedAt = performance.now()
    flows.delete(client)
    flows.set(client, flow)
  }

  socket.on('message', (data, from) => {
    const client = `${from.address} ${from.port}`
    const flow = flows.get(client) ?? begin(client, from)
    touch(client, flow)
    flow.send(data)
  })
  const sweep = setInterval(() => {
    const limit = performance.now() - udpIdleMs
    for (const [client, flow] of flows) {
      if (flow.usedAt > limit) break
      end(client, flow)
    }
  }, udpIdleMs / 4)
  sweep.unref()

  const close = (reason?: Error): void => {
    clearInterval(sweep)
    socket.removeAllListeners('error').on('error', () => undefined)
    if (!isClosed) socket.close()
    isClosed = true
    for (const each of flows) end(...each)
    if (reason) reject(reason)
    else resolve()
  }
  let isClosed = false
  socket.on('error', close)
  return { address: { ip, port: bound }, counters, close: () => close(), closed }
}

/** Rejects with ListenError. */
async function bind(port: PublishedPort): Promise<Socket> {
  if (port.listenFd !== undefined) checkListenFd('udp', port.listenFd)
  const host = port.hostIp === '' ? '::' : port.hostIp
  const socket = createSocket(isIPv6(host) ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' })
  try {
    if (port.listenFd === undefined && !isPort(port.hostPort)) throw invalidArgument()
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      const done = (): void => {
        socket.off('error', reject)
        resolve()
      }
      if (port.listenFd === undefined) socket.bind({ address: host, port: port.hostPort }, done)
      else socket.bind({ fd: port.listenFd }, done)
    })
    return socket
  } catch (err) {
    socket.close()
    if (port.listenFd === undefined) throw bindError(port, err)
    throw listenFdError('udp')
  }
}
