import { peerAddress } from '../../linux/socket-name.js'
import { listenForConnections, type Transport } from '../connection-proxy.js'
import type { Engine } from '../engine.js'
import { joinHostPort, type PublishedPort } from '../published-port.js'
import { dialer } from './dialer.js'
import { openKernel, type Kernel } from './kernel.js'
import { openListener } from './listener.js'
import { NativeRelay } from './relay.js'

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
          throw new Error('later')
      }
    },
  }
}

function transportOf(kernel: Kernel, port: PublishedPort): Transport<number> {
  const dial = dialer(kernel, port)
  return {
    openListener: async (_, events) => openListener(kernel, port, events),
    openRelay: (client, _, events) => new NativeRelay(kernel, events, client, dial),
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
