import { NETLINK_ROUTE, RTNLGRP } from '../ffi/constants.js'
import { NetlinkWatch } from '../sockets/netlink-watch.js'
import { addressesOf } from './network-addresses.js'
import type { WatchedAddresses } from './watched-addresses.js'

/** Time between a change and a second look, milliseconds. The kernel may tell of an interface before its other end has lost its addresses. */
const SECOND_LOOK_MS = 100

/**
 * Reports addresses that vanish in the network namespaces of other processes, without the right to enter these. A container's interface is one
 * end of a pair: whenever an interface of our own namespace changes, the addresses are read again. Another container can get an address only
 * after such a change, because it needs an interface first.
 */
export class OutsideWatch {
  readonly #looks = new Set<() => void>()
  readonly #links = new NetlinkWatch(NETLINK_ROUTE, RTNLGRP.LINK, () => this.#look())
  #secondLook: NodeJS.Timeout | undefined

  /**
   * @param changed called after each change; it must not throw
   * @throws SystemError `ENOENT` if there is no such process, `EMFILE`; Error if there is no FFI
   */
  watch(pid: number, changed: () => void): WatchedAddresses {
    this.#links.start()
    let all: readonly string[] = []
    const look = (): void => {
      let now: readonly string[]
      try {
        now = addressesOf(pid)
      } catch {
        // The process has ended. Without the kernel's files, the last known addresses stay.
        return
      }
      const isSame = now.join() === all.join()
      all = now
      if (!isSame) changed()
    }
    const stop = (): void => {
      this.#looks.delete(look)
      if (this.#looks.size === 0) this.#end()
    }
    try {
      all = addressesOf(pid)
      this.#looks.add(look)
    } catch (err) {
      stop()
      throw err
    }
    return {
      has: (ip) => all.includes(ip),
      get all() {
        return all
      },
      stop,
    }
  }

  #look(): void {
    for (const look of [...this.#looks]) look()
    clearTimeout(this.#secondLook)
    this.#secondLook = setTimeout(() => {
      for (const look of [...this.#looks]) look()
    }, SECOND_LOOK_MS).unref()
  }

  #end(): void {
    clearTimeout(this.#secondLook)
    this.#links.stop()
  }
}
