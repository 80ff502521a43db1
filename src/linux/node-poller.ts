import { Poller } from './epoll.js'
import { requireFfi } from './ffi.js'
import { check } from './system-error.js'

/** For so long a turn goes on to look for new events, milliseconds, before all else in Node has its own. */
const TURN_MS = 5
/** Busy is who has worked for so much of the last while, milliseconds; on cores that are all busy a thread waits for the rest of it. */
const BUSY = 0.5
const WHILE_MS = 250

/** uv_handle_type and uv_poll_event of uv.h. */
const UV_POLL = 8
const UV_READABLE = 1

/**
 * An epoll set that Node's own event loop waits for, so that signals, timers and all else of Node go on beside it:
 *
 *     Node's loop ──waits for──▶ our epoll set ──waits for──▶ sockets, a thousand of them
 *
 * The set is a descriptor like any other, readable while it has events; libuv's uv_poll_t watches it. One call of
 * epoll_wait then brings the events of all sockets.
 */
export class NodePoller extends Poller {
  /** Called now and again while the thread has hardly time for more. */
  whenBusy: (() => void) | undefined
  readonly #watch: { start(): void; stop(): void }
  #turnIsDue = false
  #workedMs = 0
  #since = 0

  /** @throws Error where there is no FFI, or no uv_poll_t in it; SystemError `EMFILE` */
  constructor() {
    super()
    this.#watch = watchInNodesLoop(this.epoll, () => this.hasWork())
  }

  /** With nothing to wait for, Node may end. */
  protected override hasSome(some: boolean): void {
    if (some) this.#watch.start()
    else this.#watch.stop()
  }

  /** In Node's own turn, and not in libuv's callback: there promises would not go on, and errors would end in libuv. */
  protected override hasWork(): void {
    if (this.#turnIsDue) return
    this.#turnIsDue = true
    setImmediate(this.#takeTurn)
  }

  readonly #takeTurn = (): void => {
    const start = performance.now()
    let now: number
    let more: boolean
    this.#turnIsDue = false
    do {
      more = this.look(0)
      now = performance.now()
      // Looking again costs less than having Node wake us again.
    } while (more && now - start < TURN_MS)
    if (this.isWorkPutOff) this.hasWork()
    this.#noteWork(start, now)
  }

  #noteWork(start: number, end: number): void {
    this.#workedMs += end - start
    const elapsed = end - this.#since
    if (elapsed < WHILE_MS) return
    const isBusy = this.#workedMs > BUSY * elapsed
    this.#workedMs = 0
    this.#since = end
    if (isBusy) this.whenBusy?.()
  }
}

/**
 * Has libuv call back while a descriptor is readable. The handle lives as long as the process: libuv knows its address.
 * Source: libuv's documentation of uv_poll_t.
 */
function watchInNodesLoop(fd: number, readable: () => void): { start(): void; stop(): void } {
  const { addressOf, callback, declare } = requireFfi()
  const size = declare('size_t uv_handle_size(int type)')(UV_POLL)
  const handle = Buffer.alloc(size)
  const address = addressOf(handle)
  const loop = declare('uintptr_t uv_default_loop()')()
  const start = declare('int uv_poll_start(uintptr_t handle, int events, void *callback)')
  const stop = declare('int uv_poll_stop(uintptr_t handle)')
  // uv_poll_cb: the handle, the status, the events.
  const readableCallback = callback(['uintptr_t', 'int', 'int'], readable)
  check(
    'uv_poll_init',
    declare('int uv_poll_init(uintptr_t loop, uintptr_t handle, int fd)')(loop, address, fd),
  )
  kept.push(handle)
  return {
    start: () => void start(address, UV_READABLE, readableCallback),
    stop: () => void stop(address),
  }
}

/** What libuv points to is never to be collected. */
const kept: Buffer[] = []
