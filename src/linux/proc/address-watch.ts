import { errnoCode } from '../errno.js'
import {
  AF_INET,
  EPOLL,
  IFA,
  NETLINK_ROUTE,
  NLM_F_DUMP,
  RTM,
  RTNLGRP,
  SOCK,
} from '../ffi/constants.js'
import { formatIp } from '../sockets/ip-address.js'
import { attributes, NetlinkSocket } from '../sockets/netlink.js'
import { NodePoller } from '../sockets/node-poller.js'
import { inNetworkOf } from './network-of.js'

/** Size of struct ifaddrmsg, bytes. Its first byte is the address family. */
const ADDRESS_SIZE = 8
/** Lists of addresses that are asked for in a row, if changes come faster than they are taken. */
const ATTEMPTS = 10

/** The addresses of a network namespace, kept current. */
export interface WatchedAddresses {
  has(ip: string): boolean
  /** Ends the watch. May be called again. */
  stop(): void
}

/** Reports addresses that appear and vanish in the network namespaces of other processes, at once, see rtnetlink(7). */
export class AddressWatch {
  #poller: NodePoller | undefined

  /**
   * The namespace exists as long as it is watched, also when its last process has ended.
   * @param changed called after each change; it must not throw
   * @throws SystemError `EPERM` without CAP_SYS_ADMIN, `ENOENT` if there is no such process, `EMFILE`; Error if there is no FFI
   */
  watch(pid: number, changed: () => void): WatchedAddresses {
    const poller = (this.#poller ??= new NodePoller())
    const socket = inNetworkOf(pid, () => new NetlinkSocket(NETLINK_ROUTE, SOCK.NONBLOCK))
    const addresses = new Set<string>()
    let isWatched = true
    const stop = (): void => {
      if (isWatched) poller.close(socket.fd)
      isWatched = false
    }
    const onReady = (): void => {
      take(socket, addresses)
      changed()
    }
    try {
      socket.join(RTNLGRP.IPV4_IFADDR, RTNLGRP.IPV6_IFADDR)
      ask(socket, addresses)
      take(socket, addresses)
      poller.watch(socket.fd, EPOLL.IN, { onReady, onError: onReady })
    } catch (err) {
      socket.close()
      throw err
    }
    return { has: (ip) => addresses.has(ip), stop }
  }
}

/** Asks for all addresses. The kernel has each part of its reply ready as soon as the part before is taken. @throws SystemError */
function ask(socket: NetlinkSocket, addresses: Set<string>): void {
  addresses.clear()
  socket.send(RTM.GETADDR, NLM_F_DUMP, Buffer.alloc(ADDRESS_SIZE))
}

/** Takes all that has come. */
function take(socket: NetlinkSocket, addresses: Set<string>): void {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      for (;;) socket.receive((body, type) => apply(addresses, body, type))
    } catch (err) {
      if (errnoCode(err) === 'EAGAIN') return
    }
    // The kernel has dropped some changes.
    ask(socket, addresses)
  }
}

function apply(addresses: Set<string>, body: Buffer, type: number): void {
  const wanted = body[0] === AF_INET ? IFA.LOCAL : IFA.ADDRESS
  for (const { type: attribute, value } of attributes(body, ADDRESS_SIZE)) {
    if (attribute !== wanted) continue
    if (type === RTM.NEWADDR) addresses.add(formatIp(value))
    else if (type === RTM.DELADDR) addresses.delete(formatIp(value))
  }
}
