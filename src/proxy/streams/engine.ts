import type { Socket } from 'node:net'
import { withoutZone } from '../../linux/sockets/ip-address.js'
import { loadCheckedSyscalls } from '../../linux/ffi/checked-syscalls.js'
import type { Backend } from '../backend.js'
import { listenForConnections } from '../connection-proxy.js'
import { NO_PAUSES, type Transport } from '../transport.js'
import { listenForDatagrams } from '../datagram-proxy.js'
import { ListenError, type Engine } from '../engine.js'
import type { ProxyObserver } from '../observer.js'
import { DEFAULT_PORT_OPTIONS, type PortOptions } from '../port-options.js'
import { RelayLimits, userTimeoutOf } from '../relay-limits.js'
import { Dialer } from './dialer.js'
import { HalfClosedSockets } from './half-closed.js'
import { readHeader } from './read-header.js'
import { openListener } from './tcp-listener.js'
import { openRelay } from './tcp-relay.js'
import { udpTransport } from './udp-transport.js'

const NO_USER_TIMEOUT =
  'tcp-user-timeout has no effect: there is no FFI on this platform, and Node does not set it'

function tcpTransport(options: PortOptions, observer: ProxyObserver): Transport<Socket> {
  const { sendProxy } = options
  // Made for the first client, because many ports never have one.
  let limits: RelayLimits | undefined
  const follow = (changed: PortOptions): void => {
    options = changed
    limits?.follow(changed)
    if (userTimeoutOf(changed) !== 0 && !loadCheckedSyscalls()) observer.degraded(NO_USER_TIMEOUT)
  }
  follow(options)
  /** Bytes of the header that a balancer has sent. */
  const headers = new WeakMap<Socket, number>()
  const halfClosed = new HalfClosedSockets()
  const dialers = new WeakMap<Backend, Dialer>()
  return {
    openListener,
    openRelay(client, backend, events, announced) {
      let dialer = dialers.get(backend)
      if (!dialer) dialers.set(backend, (dialer = new Dialer(backend)))
      if (!limits) {
        limits = new RelayLimits((milliseconds, wake) => void setTimeout(wake, milliseconds))
        limits.follow(options)
      }
      const port = { halfClosed, limits, sendProxy }
      const headerBytes = headers.get(client) ?? 0
      return openRelay(client, dialer, events, { ...port, announced, headerBytes })
    },
    readHeader: (client, done) =>
      readHeader(client, (header) => {
        if (header) headers.set(client, header.length)
        done(header)
      }),
    isOpen: (client) => !client.destroyed,
    discard: (client) => client.destroy(),
    clientAddress: ({ remoteAddress = '?', remotePort: port = 0 }) => ({
      ip: withoutZone(remoteAddress),
      port,
    }),
    changeOptions: follow,
    get pauses() {
      return limits?.pauses ?? NO_PAUSES
    },
  }
}

/** The portable engine: Node's streams with backpressure, and dgram sockets. */
export const streamsEngine: Engine = {
  name: 'streams',
  async listen(port, options, context) {
    switch (port.protocol) {
      case 'tcp':
        return listenForConnections(
          tcpTransport(options.portOptions ?? DEFAULT_PORT_OPTIONS, options.observer),
          port,
          options,
          context,
        )
      case 'udp':
        return listenForDatagrams(udpTransport(options.observer), port, options, context)
      case 'sctp':
        throw new ListenError(
          'EPROTONOSUPPORT',
          'unsupported protocol sctp: the streams engine forwards tcp and udp; set DOCKER_PROXY_ENGINE to native to publish sctp',
        )
    }
  },
}
