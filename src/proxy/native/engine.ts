import { MessageBatch } from '../../linux/message-batch.js'
import { NodePoller } from '../../linux/node-poller.js'
import { peerAddress } from '../../linux/socket-name.js'
import {
  listenForConnections,
  type Listener,
  type ListenerEvents,
  type Relay,
  type RelayEvents,
  type Transport,
} from '../connection-proxy.js'
import { listenForDatagrams } from '../datagram-proxy.js'
import { affordableThreads, pipesOfThread } from '../engine-share.js'
import type { Engine } from '../engine.js'
import { joinHostPort, type PublishedPort } from '../published-port.js'
import { openKernel, type Kernel } from './kernel.js'
import { NativeListener } from './listener.js'
import { udpTransport } from './udp.js'
import { Workers, type Opener } from './workers.js'

/**
 * The engine of Linux: the kernel's own epoll and splice, called from here, in Node's own loop.
 * @param threads that may move data when there is too much for one
 * @throws Error saying why it can't be had on this platform
 */
export function openNativeEngine(threads = 1): Engine {
  const pipes = (): number => pipesOfThread(affordableThreads(threads))
  const kernel = openKernel(() => new NodePoller(), pipes)
  return nativeEngine(kernel, new Workers(kernel, threads))
}

export function nativeEngine(kernel: Kernel<NodePoller>, workers: Workers): Engine {
  let batch: MessageBatch | undefined
  return {
    name: 'native',
    async listen(port, context) {
      switch (port.protocol) {
        case 'tcp':
        case 'sctp':
          return listenForConnections(
            new NativeTransport(kernel, port, workers.opener(port, context.log)),
            port,
            context,
          )
        case 'udp':
          return listenForDatagrams(
            udpTransport(kernel, (batch ??= new MessageBatch()), port),
            port,
            context,
          )
      }
    },
  }
}

/** How the connections of a port come in, and go on. */
class NativeTransport implements Transport<number> {
  constructor(
    private readonly kernel: Kernel,
    private readonly port: PublishedPort,
    private readonly opener: Opener,
  ) {}

  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is to reject
  async openListener(_: PublishedPort, events: ListenerEvents<number>): Promise<Listener> {
    return new NativeListener(this.kernel, this.port, events, () => this.opener.close())
  }

  openRelay(client: number, _: PublishedPort, events: RelayEvents): Relay {
    return this.opener.open(client, events)
  }

  drop(client: number): void {
    this.kernel.poller.close(client)
  }

  addressOf(client: number): string {
    try {
      const { ip, port } = peerAddress(client) ?? { ip: '?', port: 0 }
      return joinHostPort(ip, port)
    } catch {
      return '?' // It is gone already.
    }
  }
}
