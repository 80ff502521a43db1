import type { Engine } from '../engine.js'
import { ListenError } from '../engine.js'
import { listenTcp } from './tcp.js'

/** The portable engine: Node's own streams with backpressure, and its dgram sockets. */
export const streamsEngine: Engine = {
  name: 'streams',
  async listen(port, context) {
    switch (port.protocol) {
      case 'tcp':
        return listenTcp(port, context)
      case 'udp':
        // Loaded with the first UDP port: most proxies are started for TCP, one after another.
        return (await import('./udp.js')).listenUdp(port, context)
      case 'sctp':
        throw new ListenError(
          'EPROTONOSUPPORT',
          "unsupported protocol sctp: this docker-proxy forwards tcp and udp; to publish sctp, set dockerd's userland-proxy-path back to Docker's own docker-proxy",
        )
    }
  },
}
