import { EPOLL, NETLINK_NETFILTER, NFNLGRP_NFTABLES, SOCK } from '../ffi/constants.js'
import { NetlinkSocket } from '../sockets/netlink.js'
import { NodePoller } from '../sockets/node-poller.js'

/** Reports changes of nftables' rules, which include those of iptables-nft. */
export class RuleWatch {
  #poller: NodePoller | undefined
  #socket: NetlinkSocket | undefined

  /** @param changed called after one or more changes by any process; it must not throw */
  constructor(private readonly changed: () => void) {}

  /** May be called again. @throws SystemError; Error if there is no FFI */
  start(): void {
    if (this.#socket) return
    const poller = (this.#poller ??= new NodePoller())
    const socket = new NetlinkSocket(NETLINK_NETFILTER, SOCK.NONBLOCK)
    const onReady = (): void => {
      try {
        while (!socket.receive(() => undefined));
      } catch {
        // No message is left, or the kernel has dropped some.
      }
      this.changed()
    }
    try {
      socket.join(NFNLGRP_NFTABLES)
      poller.watch(socket.fd, EPOLL.IN, { onReady, onError: onReady })
    } catch (err) {
      socket.close()
      throw err
    }
    this.#socket = socket
  }

  /** May be called again. */
  stop(): void {
    if (this.#socket) this.#poller?.close(this.#socket.fd)
    this.#socket = undefined
  }
}
