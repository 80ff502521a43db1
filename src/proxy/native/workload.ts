import { cpus } from 'node:os'
import type { NodePoller } from '../../linux/node-poller.js'
import type { Kernel } from './kernel.js'

/** What is asked less often than this is about something new, milliseconds. */
const RECENT_MS = 1_000
/** Bulk is where so many events, or more, bring a splice. A splice takes as long as several small messages. */
const BULK_SHARE = 0.25
/** A core counts as free that has idled for half of the time. */
const FREE_CORE = 0.5

interface Sample {
  /** Milliseconds. */
  readonly at: number
  readonly events: number
  readonly splices: number
  /** Time that all cores together have idled, milliseconds; where there is bulk. */
  readonly idle: number | undefined
}

/** What keeps a busy thread busy. */
export class Workload {
  #last: Sample | undefined

  /**
   * @param idleTime that all cores together have idled so far, milliseconds
   * @param clock milliseconds
   */
  constructor(
    private readonly kernel: Kernel<NodePoller>,
    private readonly idleTime = machinesIdleTime,
    private readonly clock = () => performance.now(),
  ) {}

  /**
   * To be asked now and again while the thread is busy. One thread more always helps with small messages, but with bulk only where a
   * core is free for it: on cores that are all busy it wakes more often, for less each time.
   *
   * @returns whether one more would make it faster; false when it was not asked of late
   */
  gainsByThread(): boolean {
    const last = this.#last
    const at = this.clock()
    const { events } = this.kernel.poller
    const splices = this.kernel.pipes.taken
    const isRecent = last !== undefined && at - last.at < RECENT_MS
    const isBulk = isRecent && splices - last.splices > BULK_SHARE * (events - last.events)
    // What the machine's cores do takes a while to read, where there are many.
    const idle = isBulk ? this.idleTime() : undefined
    this.#last = { at, events, splices, idle }
    if (!isBulk) return isRecent
    return (idle ?? 0) - (last.idle ?? Infinity) > FREE_CORE * (at - last.at)
  }
}

function machinesIdleTime(): number {
  return cpus().reduce((sum, { times }) => sum + times.idle, 0)
}
