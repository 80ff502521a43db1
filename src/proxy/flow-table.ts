/** A flow in the table. */
export interface TableEntry<Flow> {
  readonly sender: string
  readonly flow: Flow
  /** When a datagram last came, from either side, by performance.now(). */
  usedAt: number
  /** The neighbours in the order of last use. */
  older: TableEntry<Flow> | undefined
  newer: TableEntry<Flow> | undefined
}

/**
 * Flows by sender, and in the order of their last use. A list rather than the order of the map: every datagram changes it.
 *
 *     oldest ◀──older── … ──newer──▶ newest
 */
export class FlowTable<Flow> {
  readonly #bySender = new Map<string, TableEntry<Flow>>()
  #oldest: TableEntry<Flow> | undefined
  #newest: TableEntry<Flow> | undefined

  get size(): number {
    return this.#bySender.size
  }

  /** The one that was idle the longest. */
  get oldest(): TableEntry<Flow> | undefined {
    return this.#oldest
  }

  get(sender: string): TableEntry<Flow> | undefined {
    return this.#bySender.get(sender)
  }

  add(sender: string, flow: Flow): TableEntry<Flow> {
    const entry: TableEntry<Flow> = {
      sender,
      flow,
      usedAt: 0,
      older: undefined,
      newer: undefined,
    }
    this.#bySender.set(sender, entry)
    this.#append(entry)
    return entry
  }

  /** Notes that a flow was used. */
  touch(entry: TableEntry<Flow>, now: number): void {
    entry.usedAt = now
    if (entry === this.#newest) return
    this.#unlink(entry)
    this.#append(entry)
  }

  /** Returns false if it was not there any more. */
  delete(entry: TableEntry<Flow>): boolean {
    if (this.#bySender.get(entry.sender) !== entry) return false
    this.#bySender.delete(entry.sender)
    this.#unlink(entry)
    return true
  }

  #append(entry: TableEntry<Flow>): void {
    entry.older = this.#newest
    entry.newer = undefined
    if (this.#newest) this.#newest.newer = entry
    else this.#oldest = entry
    this.#newest = entry
  }

  #unlink({ older, newer }: TableEntry<Flow>): void {
    if (older) older.newer = newer
    else this.#oldest = newer
    if (newer) newer.older = older
    else this.#newest = older
  }
}
