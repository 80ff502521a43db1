import type { Relay } from '../transport.js'
import type { WorkerPort } from './worker-port.js'
import type { RelayTable } from './worker-memory.js'

/** A relay of a worker, as the main thread sees it. */
export class WorkerRelay implements Relay {
  #isDestroyed = false
  #isCancelled = false

  /**
   * @param sendDestroy orders the worker to destroy the relay
   * @param sendCancel orders it to cancel the dial
   * @param sendAbort orders it to reset both sides
   */
  constructor(
    readonly port: WorkerPort,
    private readonly table: RelayTable,
    private readonly place: number,
    private readonly sendDestroy: () => void,
    private readonly sendCancel: () => void,
    private readonly sendAbort: () => void,
  ) {}

  get dialMs(): number | undefined {
    const ms = this.table.dialMs[this.place] ?? NaN
    return Number.isNaN(ms) ? undefined : ms
  }

  get isHalfClosed(): boolean {
    return this.table.halfClosed[this.place] === 1
  }

  get isThrottled(): boolean {
    return this.table.throttled[this.place] === 1
  }

  get bytesIn(): number {
    return this.table.bytesIn[this.place] ?? 0
  }

  get bytesOut(): number {
    return this.table.bytesOut[this.place] ?? 0
  }

  /** May be called again: a dial that was not cancelled by the first order has succeeded by then. */
  cancelDial(): void {
    if (this.#isDestroyed || this.#isCancelled) return
    this.#isCancelled = true
    this.sendCancel()
  }

  abort(): void {
    if (this.#isDestroyed) return
    this.#isDestroyed = true
    this.sendAbort()
  }

  destroy(): void {
    if (this.#isDestroyed) return
    this.#isDestroyed = true
    this.sendDestroy()
  }
}
