import { cpus } from 'node:os'
import type { NodePoller } from '../../linux/sockets/node-poller.js'
import type { Reactor } from './reactor.js'

/** Two calls further apart than this belong to different loads, milliseconds. */
const RECENT_MS = 1_000
/** A load is bulk if more than this share of the events bring a splice. A splice takes as long as several small messages. */
const BULK_SHARE = 0.25
/** A core counts as free if it is idle for this share of the time. */
const FREE_CORE = 0.5

interface Sample {
  /** Milliseconds. */
  readonly at: number
  readonly events: number
  readonly splices: number
  /** Idle time of all cores together, milliseconds; measured for bulk only. */
  readonly idle: number | undefined
}

/** Tells whether a busy thread would gain from another one. */
export class Workload {
  #last: Sample | undefined

  /**
   * @param idleTime returns the idle time of all cores together so far, milliseconds
   * @param clock returns the time, milliseconds
   */
  constructor(
    private readonly reactor: Reactor<NodePoller>,
    private readonly idleTime = totalIdleTime,
    private readonly clock = () => performance.now(),
  ) {}

  /**
   * Call it from time to time while the thread is busy. One more thread always helps with small messages, but with bulk only if a core is
   * free: on busy cores it wakes more often, for less data each time.
   *
   * @returns whether one more thread would help; false if the last call was long ago
   */
  benefitsFromThread(): boolean {
    const last = this.#last
    const at = this.clock()
    const events = this.reactor.poller.handledEvents
    const splices = this.reactor.pipes.borrowed
    const isRecent = last !== undefined && at - last.at < RECENT_MS
    const isBulk = isRecent && splices - last.splices > BULK_SHARE * (events - last.events)
    // Reading the idle time takes long on a machine with many cores.
    const idle = isBulk ? this.idleTime() : undefined
    this.#last = { at, events, splices, idle }
    if (!isBulk) return isRecent
    return (idle ?? 0) - (last.idle ?? Infinity) > FREE_CORE * (at - last.at)
  }
}

function totalIdleTime(): number {
  return cpus().reduce((sum, { times }) => sum + times.idle, 0)
}
