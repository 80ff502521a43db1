import type { Socket } from 'node:net'
import { withoutZone } from '../../linux/sockets/ip-address.js'
import type { Backend } from '../backend.js'
import { listenForConnections } from '../connection-proxy.js'
import type { Transport } from '../transport.js'
import { listenForDatagrams } from '../datagram-proxy.js'
import { ListenError, type Engine } from '../engine.js'
import type { ProxyVersion } from '../proxy-header.js'
import { Dialer } from './dialer.js'
import { HalfClosedSockets } from './half-closed.js'
import { openListener } from './tcp-listener.js'
import { openRelay } from './tcp-relay.js'
import { udpTransport } from './udp-transport.js'

function tcpTransport(sendProxy: ProxyVersion | undefined): Transport<Socket> {
  const halfClosed = new HalfClosedSockets()
  const dialers = new WeakMap<Backend, Dialer>()
  return {
    openListener,
    openRelay(client, backend, events) {
      let dialer = dialers.get(backend)
      if (!dialer) dialers.set(backend, (dialer = new Dialer(backend)))
      return openRelay(client, dialer, events, { halfClosed, sendProxy })
    },
    isOpen: (client) => !client.destroyed,
    discard: (client) => client.destroy(),
    clientAddress: ({ remoteAddress = '?', remotePort: port = 0 }) => ({
      ip: withoutZone(remoteAddress),
      port,
    }),
  }
}

/** The portable engine: Node's streams with backpressure, and dgram sockets. */
export const streamsEngine: Engine = {
  name: 'streams',
  async listen(port, options, context) {
    switch (port.protocol) {
      case 'tcp':
        return listenForConnections(
          tcpTransport(options.portOptions?.sendProxy),
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
