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
import { attributes, NetlinkSocket, readU32 } from '../sockets/netlink.js'
import { NodePoller } from '../sockets/node-poller.js'
import { inNetworkOf } from './network-of.js'
import { OutsideWatch } from './outside-watch.js'
import type { WatchedAddresses } from './watched-addresses.js'

/** Size of struct ifaddrmsg, and offsets in it, bytes. Its first byte is the address family. */
const ADDRESS_SIZE = 8
const PREFIX = 1
const INTERFACE = 4
/** Lists of addresses that are asked for in a row, if changes come faster than they are taken. */
const ATTEMPTS = 10
/** Messages that are taken in a row at most. An event reports the others. */
const MESSAGES_AT_ONCE = 10_000

/** Reports addresses that appear and vanish in the network namespaces of other processes, at once, see rtnetlink(7). */
export class AddressWatch {
  #poller: NodePoller | undefined
  #outside: OutsideWatch | undefined

  /**
   * The namespace exists as long as it is watched, also when its last process has ended. Without CAP_SYS_ADMIN it is watched from outside.
   * @param changed called after each change; it must not throw
   * @throws SystemError `ENOENT` if there is no such process, `EMFILE`; Error if there is no FFI
   */
  watch(pid: number, changed: () => void): WatchedAddresses {
    let socket: NetlinkSocket
    try {
      socket = inNetworkOf(pid, () => new NetlinkSocket(NETLINK_ROUTE, SOCK.NONBLOCK))
    } catch (err) {
      if (!['EPERM', 'EACCES'].includes(errnoCode(err) ?? '')) throw err
      return (this.#outside ??= new OutsideWatch()).watch(pid, changed)
    }
    return this.#watchInside(socket, changed)
  }

  #watchInside(socket: NetlinkSocket, changed: () => void): WatchedAddresses {
    const addresses: Addresses = new Map()
    let isWatched = true
    const stop = (): void => {
      if (isWatched) this.#poller?.close(socket.fd)
      isWatched = false
    }
    const onReady = (): void => {
      if (isWatched) take(socket, addresses)
      changed()
    }
    // Without the kernel's messages, the last known addresses stay.
    const onError = stop
    try {
      this.#poller ??= new NodePoller()
      socket.join(RTNLGRP.IPV4_IFADDR, RTNLGRP.IPV6_IFADDR)
      ask(socket, addresses)
      take(socket, addresses)
      this.#poller.watch(socket.fd, EPOLL.IN, { onReady, onError })
    } catch (err) {
      socket.close()
      throw err
    }
    return {
      has: (ip) => [...addresses.values()].includes(ip),
      get all() {
        return [...addresses.values()]
      },
      stop,
    }
  }
}

/** IP addresses by interface and prefix: an address may be there twice. */
type Addresses = Map<string, string>

/** Asks for all addresses. The kernel has each part of its reply ready as soon as the part before is taken. @throws SystemError */
function ask(socket: NetlinkSocket, addresses: Addresses): void {
  addresses.clear()
  socket.send(RTM.GETADDR, NLM_F_DUMP, Buffer.alloc(ADDRESS_SIZE))
}

/** Takes all that has come. @throws SystemError */
function take(socket: NetlinkSocket, addresses: Addresses): void {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    if (takeWaiting(socket, addresses)) return
    // The kernel has dropped some changes. Those that still wait are older than its reply.
    takeWaiting(socket, addresses)
    ask(socket, addresses)
  }
  takeWaiting(socket, addresses)
}

/** @returns false if the kernel has dropped something */
function takeWaiting(socket: NetlinkSocket, addresses: Addresses): boolean {
  for (let i = 0; i < MESSAGES_AT_ONCE; i++) {
    try {
      socket.receive((body, type) => apply(addresses, body, type))
    } catch (err) {
      return errnoCode(err) === 'EAGAIN'
    }
  }
  return true
}

function apply(addresses: Addresses, body: Buffer, type: number): void {
  const wanted = body[0] === AF_INET ? IFA.LOCAL : IFA.ADDRESS
  for (const { type: attribute, value } of attributes(body, ADDRESS_SIZE)) {
    if (attribute !== wanted) continue
    const ip = formatIp(value)
    const key = `${readU32(body, INTERFACE)} ${ip}/${String(body[PREFIX])}`
    if (type === RTM.NEWADDR) addresses.set(key, ip)
    else if (type === RTM.DELADDR) addresses.delete(key)
  }
}
