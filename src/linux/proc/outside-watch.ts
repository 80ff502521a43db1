import { errnoCode } from '../errno.js'
import { NETLINK_ROUTE, RTNLGRP } from '../ffi/constants.js'
import { NetlinkWatch } from '../sockets/netlink-watch.js'
import { addressesOf } from './network-addresses.js'
import type { WatchedAddresses } from './watched-addresses.js'

/** Changes come in bursts, a dozen for each container. Time from a look to the next one, milliseconds. */
const BURST_MS = 20
/** Time from the last change to a last look, milliseconds. The kernel may report an interface before its other end has lost its addresses. */
const LAST_LOOK_MS = 100

/**
 * Reports addresses that vanish in the network namespaces of other processes, without the right to enter these. A container's interface is one
 * end of a pair: whenever an interface of our own namespace changes, the addresses are read again. Another container can get an address only
 * after such a change, because it needs an interface first.
 */
export class OutsideWatch {
  readonly #looks = new Set<() => void>()
  readonly #links = new NetlinkWatch(NETLINK_ROUTE, RTNLGRP.LINK, () => this.#linksChanged())
  #burst: NodeJS.Timeout | undefined
  #lastLook: NodeJS.Timeout | undefined
  /** Whether something has changed since the last look. */
  #isDue = false

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
      } catch (err) {
        // If the process has ended, the last known addresses stay.
        if (['EMFILE', 'ENFILE', 'ENOMEM'].includes(errnoCode(err) ?? '')) this.#isDue = true
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

  #linksChanged(): void {
    this.#isDue = true
    if (!this.#burst) this.#look()
  }

  #look(): void {
    this.#isDue = false
    this.#lookNow()
    this.#burst = setTimeout(() => {
      this.#burst = undefined
      if (this.#isDue) this.#look()
    }, BURST_MS).unref()
    clearTimeout(this.#lastLook)
    this.#lastLook = setTimeout(() => {
      this.#lookNow()
      // A look has failed.
      if (this.#isDue) this.#look()
    }, LAST_LOOK_MS).unref()
  }

  #lookNow(): void {
    for (const look of [...this.#looks]) look()
  }

  #end(): void {
    clearTimeout(this.#burst)
    clearTimeout(this.#lastLook)
    this.#burst = undefined
    this.#links.stop()
  }
}
