import { Poller } from './poller.js'
import { requireFfi } from '../ffi/ffi.js'
import { check } from '../ffi/system-error.js'

/** A turn looks for new events for at most this time before the rest of Node gets its turn, milliseconds. */
const MAX_TURN_MS = 5
/** A thread that works for a larger share of its time is busy. On busy cores a thread waits for the rest of the time. */
const BUSY_SHARE = 0.5
/** The share is measured over this time, milliseconds. */
const BUSY_WINDOW_MS = 250

/** uv_handle_type of uv.h. */
const UV_POLL = 8
/** uv_poll_event of uv.h. */
const UV_READABLE = 1

/**
 * An epoll set that Node's event loop waits for, so that signals, timers and the rest of Node work beside it:
 *
 *     Node's loop ──waits for──▶ our epoll set ──waits for──▶ a thousand sockets
 *
 * The set is a descriptor like any other, readable while it has events. libuv's uv_poll_t watches it. One call of epoll_wait then returns
 * the events of all sockets.
 */
export class NodePoller extends Poller {
  /** Called from time to time while the thread is busy. */
  onBusy: (() => void) | undefined
  readonly #watch: { start(): void; stop(): void }
  #turnIsDue = false
  #workedMs = 0
  #since = 0

  /** @throws Error if there is no FFI, or libuv has no uv_poll_t; SystemError `EMFILE` */
  constructor() {
    super()
    this.#watch = watchWithLibuv(this.epoll, () => this.onDeferred())
  }

  override delay(milliseconds: number, callback: () => void): void {
    setTimeout(callback, milliseconds)
  }

  /** With nothing watched, Node may end. */
  protected override onWatchedChange(some: boolean): void {
    if (some) this.#watch.start()
    else this.#watch.stop()
  }

  /** Runs in Node's turn, not in libuv's callback: there promises would not continue, and exceptions would reach libuv. */
  protected override onDeferred(): void {
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
      more = this.poll(0)
      now = performance.now()
      // Polling again costs less than being woken by Node again.
    } while (more && now - start < MAX_TURN_MS)
    if (this.hasWork) this.onDeferred()
    this.#noteWork(start, now)
  }

  #noteWork(start: number, end: number): void {
    this.#workedMs += end - start
    const elapsed = end - this.#since
    if (elapsed < BUSY_WINDOW_MS) return
    const isBusy = this.#workedMs > BUSY_SHARE * elapsed
    this.#workedMs = 0
    this.#since = end
    if (isBusy) this.onBusy?.()
  }
}

/**
 * Makes libuv call back while a descriptor is readable. The handle is kept until the process ends, because libuv has its address.
 * Source: libuv's documentation of uv_poll_t.
 */
function watchWithLibuv(fd: number, readable: () => void): { start(): void; stop(): void } {
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
  retainedHandles.push(handle)
  return {
    start: () => void start(address, UV_READABLE, readableCallback),
    stop: () => void stop(address),
  }
}

/** libuv points to these buffers, so they must never be collected. */
const retainedHandles: Buffer[] = []
