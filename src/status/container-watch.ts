import { errnoCode, errnoReason } from '../linux/errno.js'
import { AddressWatch } from '../linux/proc/address-watch.js'
import { areServedByRuntime } from '../linux/proc/network-addresses.js'
import { identify, type ProcessIdentity } from '../linux/proc/process-identity.js'
import { ProcessWatch } from '../linux/proc/process-watch.js'
import type { WatchedAddresses } from '../linux/proc/watched-addresses.js'
import { isLoopback } from '../linux/sockets/ip-address.js'
import type { Log } from '../log/log.js'
import type { BackendList, ListedBackend } from './backend-list.js'

/** A container that is watched. */
interface WatchedContainer {
  hasEnded: boolean
  /** The addresses of its network namespace; undefined if they can't be watched. */
  addresses?: WatchedAddresses
  stop(): void
}

/** The kernel's reports of processes and addresses. Several ContainerWatches share them. */
export class KernelReports {
  #processes: ProcessWatch | undefined
  #addresses: AddressWatch | undefined

  /** @throws SystemError `EMFILE`; Error if there is no FFI */
  get processes(): ProcessWatch {
    return (this.#processes ??= new ProcessWatch())
  }

  get addresses(): AddressWatch {
    return (this.#addresses ??= new AddressWatch())
  }
}

/**
 * Keeps proxies away from addresses that their containers no longer have, also while no daemon runs: another container may get such an
 * address. The kernel tells when a container ends, and when it leaves a network.
 */
export class ContainerWatch {
  #list: BackendList = { backends: [], holdMs: 0 }
  /** The backends that were reported last. */
  #left: readonly ListedBackend[] = []
  readonly #containers = new Map<ListedBackend, WatchedContainer>()
  /** Addresses of the list that the namespaces of their containers have had. If such an address is missing, the container has lost it. */
  #seen = new Set<string>()

  /**
   * @param changed called when containers have lost their addresses, or have them again, with those that have one
   * @param lost called with an address that its container has lost, by the time of a list or later
   */
  constructor(
    private readonly changed: (list: BackendList) => void,
    private readonly lost: (ip: string) => void,
    private readonly log: Log,
    private readonly reports = new KernelReports(),
  ) {}

  /**
   * Watches the containers of a list, instead of an earlier one.
   * @returns the list without containers that have ended already
   */
  watch(list: BackendList): BackendList {
    for (const container of this.#containers.values()) container.stop()
    this.#containers.clear()
    this.#list = list
    const keys = new Set(list.backends.map(keyOf))
    this.#seen = new Set([...this.#seen].filter((key) => keys.has(key)))
    for (const backend of list.backends) {
      if (backend.process) this.#watchOne(backend, backend.process)
    }
    this.#left = list.backends.filter(this.#hasAddress)
    for (const backend of list.backends) if (!this.#left.includes(backend)) this.lost(backend.ip)
    return { ...list, backends: this.#left }
  }

  /** Ends the watch of all containers. */
  stop(): void {
    this.watch({ backends: [], holdMs: 0 })
  }

  #watchOne(backend: ListedBackend, process: ProcessIdentity): void {
    const container: WatchedContainer = {
      hasEnded: false,
      stop() {
        stopProcess?.()
        this.addresses?.stop()
      },
    }
    this.#containers.set(backend, container)
    const stopProcess = this.#watchProcess(process, container)
    // Looked at last, because the watched process may be a later one with the same id. The process may be invisible to another user than root,
    // see proc(5), hidepid. If the kernel watches it, it is there nevertheless.
    const present = identify(process.pid)
    const isSame = present ? present.startTime === process.startTime : stopProcess !== undefined
    if (!isSame) container.hasEnded = true
    if (container.hasEnded) container.stop()
    else this.#watchAddresses(backend, process, container)
  }

  #watchProcess({ pid }: ProcessIdentity, container: WatchedContainer): (() => void) | undefined {
    try {
      return this.reports.processes.watch(pid, () => {
        container.hasEnded = true
        container.stop()
        this.#update()
      })
    } catch (err) {
      if (errnoCode(err) === 'ESRCH') container.hasEnded = true
      // The daemon still watches the container.
      else this.log.debug(`Can't watch the process of a container: ${errnoReason(err)}`)
      return undefined
    }
  }

  #watchAddresses(
    backend: ListedBackend,
    { pid }: ProcessIdentity,
    container: WatchedContainer,
  ): void {
    // Interfaces do not list all of 127.0.0.0/8.
    if (isLoopback(backend.ip)) return
    try {
      const addresses = this.reports.addresses.watch(pid, () => this.#update())
      const key = keyOf(backend)
      if (addresses.has(backend.ip)) this.#seen.add(key)
      const isUnknown = !this.#seen.has(key) && areServedByRuntime(pid, addresses.all)
      if (isUnknown) addresses.stop()
      else container.addresses = addresses
    } catch (err) {
      this.log.debug(`Can't watch the networks of a container: ${errnoReason(err)}`)
    }
  }

  readonly #hasAddress = (backend: ListedBackend): boolean => {
    const container = this.#containers.get(backend)
    if (!container) return true
    return !container.hasEnded && container.addresses?.has(backend.ip) !== false
  }

  #update(): void {
    const before = this.#left
    this.#left = this.#list.backends.filter(this.#hasAddress)
    const lost = before.filter((backend) => !this.#left.includes(backend))
    if (lost.length === 0 && this.#left.length === before.length) return
    this.changed({ ...this.#list, backends: this.#left })
    for (const { ip } of lost) this.lost(ip)
  }
}

/** Identifies an address of a container. */
function keyOf({ ip, process }: ListedBackend): string {
  return `${ip} ${process?.pid ?? ''} ${process?.startTime ?? ''}`
}
