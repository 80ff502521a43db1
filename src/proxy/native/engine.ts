import { peerAddress } from '../../linux/socket-name.js'
import { listenForConnections, type Transport } from '../connection-proxy.js'
import { listenForDatagrams } from '../datagram-proxy.js'
import type { Engine } from '../engine.js'
import { joinHostPort, type PublishedPort } from '../published-port.js'
import { dialer } from './dialer.js'
import { openKernel, type Kernel } from './kernel.js'
import { NativeListener } from './listener.js'
import { NativeRelay } from './relay.js'
import { udpTransport } from './udp.js'

/**
 * The engine of Linux: the kernel's own epoll and splice, called from here, in Node's own loop.
 * @throws Error saying why it can't be had on this platform
 */
export function openNativeEngine(): Engine {
  const kernel = openKernel()
  return {
    name: 'native',
    async listen(port, context) {
      switch (port.protocol) {
        case 'tcp':
        case 'sctp':
          return listenForConnections(transportOf(kernel, port), port, context)
        case 'udp':
          return listenForDatagrams(udpTransport(kernel, port), port, context)
      }
    },
  }
}

function transportOf(kernel: Kernel, port: PublishedPort): Transport<number> {
  const dial = dialer(kernel, port)
  return {
    // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is to reject
    openListener: async (_, events) => new NativeListener(kernel, port, events),
    openRelay: (client, _, events) =>
      new NativeRelay(kernel, events, client, dial, port.protocol === 'sctp'),
    addressOf(client) {
      try {
        const { ip, port } = peerAddress(client) ?? { ip: '?', port: 0 }
        return joinHostPort(ip, port)
      } catch {
        return '?' // It is gone already.
      }
    },
  }
}
