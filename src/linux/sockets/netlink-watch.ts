import { EPOLL, SOCK } from '../ffi/constants.js'
import { NetlinkSocket } from './netlink.js'
import { NodePoller } from './node-poller.js'

/** Reports messages of the kernel to a group, see netlink(7). */
export class NetlinkWatch {
  #poller: NodePoller | undefined
  #socket: NetlinkSocket | undefined

  /**
   * @param protocol see netlink(7)
   * @param group of the protocol
   * @param changed called after one or more messages; it must not throw
   */
  constructor(
    private readonly protocol: number,
    private readonly group: number,
    private readonly changed: () => void,
  ) {}

  /** May be called again. @throws SystemError; Error if there is no FFI */
  start(): void {
    if (this.#socket) return
    const poller = (this.#poller ??= new NodePoller())
    const socket = new NetlinkSocket(this.protocol, SOCK.NONBLOCK)
    const onReady = (): void => {
      try {
        while (!socket.receive(() => undefined));
      } catch {
        // No message is left, or the kernel has dropped some.
      }
      this.changed()
    }
    try {
      socket.join(this.group)
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
