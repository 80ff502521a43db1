import type { Socket } from 'node:net'
import { listenForConnections, type Transport } from '../connection-proxy.js'
import { listenForDatagrams } from '../datagram-proxy.js'
import type { Engine } from '../engine.js'
import { ListenError } from '../engine.js'
import { joinHostPort } from '../published-port.js'
import { openListener } from './tcp-listener.js'
import { openRelay } from './tcp-relay.js'
import { udpTransport } from './udp.js'

const transport: Transport<Socket> = {
  openListener,
  openRelay,
  drop: (client) => client.destroy(),
  addressOf: (client) => joinHostPort(client.remoteAddress ?? '?', client.remotePort ?? 0),
}

/** The portable engine: Node's own streams with backpressure, and its dgram sockets. */
export const streamsEngine: Engine = {
  name: 'streams',
  async listen(port, context) {
    switch (port.protocol) {
      case 'tcp':
        return listenForConnections(transport, port, context)
      case 'udp':
        return listenForDatagrams(udpTransport(context.log), port, context)
      case 'sctp':
        throw new ListenError(
          'EPROTONOSUPPORT',
          'unsupported protocol sctp: the streams engine forwards tcp and udp; set DOCKER_PROXY_ENGINE to native to publish sctp',
        )
    }
  },
}
