import type { Backend } from './backend.js'

/** A UDP flow in the table. */
export interface FlowEntry<Flow> {
  /** Identifies the client. */
  readonly key: string
  readonly flow: Flow
  readonly backend: Backend
  /** Bytes from the client so far. */
  bytesIn: number
  /** Bytes to the client so far. */
  bytesOut: number
  /** When it began, by performance.now(), whole milliseconds. */
  readonly openedAt: number
  /** When the last datagram came from either side, by performance.now(), milliseconds. */
  usedAt: number
  /** The neighbours in the order of last use. */
  older: FlowEntry<Flow> | undefined
  newer: FlowEntry<Flow> | undefined
}

/**
 * Flows by client, and in the order of their last use. The order is a linked list, not the order of the Map, because every datagram
 * changes it.
 *
 *     oldest ◀──older── … ──newer──▶ newest
 */
export class FlowTable<Flow> {
  readonly #byKey = new Map<string, FlowEntry<Flow>>()
  #oldest: FlowEntry<Flow> | undefined
  #newest: FlowEntry<Flow> | undefined

  get size(): number {
    return this.#byKey.size
  }

  /** The flow that was idle longest. */
  get oldest(): FlowEntry<Flow> | undefined {
    return this.#oldest
  }

  /** All flows, those first that were opened first. */
  [Symbol.iterator](): Iterator<FlowEntry<Flow>> {
    return this.#byKey.values()
  }

  get(key: string): FlowEntry<Flow> | undefined {
    return this.#byKey.get(key)
  }

  add(entry: FlowEntry<Flow>): void {
    this.#byKey.set(entry.key, entry)
    this.#append(entry)
  }

  /** Records that a flow was used. @param now performance.now(), milliseconds */
  touch(entry: FlowEntry<Flow>, now: number): void {
    entry.usedAt = now
    if (entry === this.#newest) return
    this.#unlink(entry)
    this.#append(entry)
  }

  /** @returns false if the entry was not in the table */
  delete(entry: FlowEntry<Flow>): boolean {
    if (this.#byKey.get(entry.key) !== entry) return false
    this.#byKey.delete(entry.key)
    this.#unlink(entry)
    return true
  }

  #append(entry: FlowEntry<Flow>): void {
    entry.older = this.#newest
    entry.newer = undefined
    if (this.#newest) this.#newest.newer = entry
    else this.#oldest = entry
    this.#newest = entry
  }

  #unlink({ older, newer }: FlowEntry<Flow>): void {
    if (older) older.newer = newer
    else this.#oldest = newer
    if (newer) newer.older = older
    else this.#newest = older
  }
}
