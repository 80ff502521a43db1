import { requireCalls, type Calls } from './calls.js'
import { EPOLL_CTL, O_CLOEXEC } from './constants.js'
import { requireFfi } from './ffi.js'
import { check } from './system-error.js'

/** What waits for a descriptor. */
export interface Pollable {
  /** Called with what the kernel saw there, bits of EPOLL; with 0 when it was put off. */
  ready(events: number): void
  /** Called when `ready` has thrown: this one is to end, and no other. */
  fail(err: unknown): void
}

/**
 * struct epoll_event in numbers of 32 bits: packed on x86-64, where its 64 bits of data follow at once, and with a gap
 * elsewhere, see `__EPOLL_PACKED` in bits/epoll.h. Of the data the first half holds the descriptor, the second its serial.
 */
const EVENT = process.arch === 'x64' ? { size: 3, fd: 1, serial: 2 } : { size: 4, fd: 2, serial: 3 }
const BYTES_PER_NUMBER = 4

const MAX_EVENTS = 256
/** How often a turn looks for new events before all else in Node has its own. */
const MAX_ROUNDS = 8

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
export class Poller {
  readonly #calls: Calls
  readonly #epoll: number
  readonly #events = new Int32Array(new ArrayBuffer(MAX_EVENTS * EVENT.size * BYTES_PER_NUMBER))
  readonly #eventsAddress: number
  readonly #change = new Int32Array(new ArrayBuffer(EVENT.size * BYTES_PER_NUMBER))
  readonly #changeAddress: number
  readonly #watch: { start(): void; stop(): void }
  /** What is watched, by descriptor; and the serials, which tell an old event from one of a new socket of that number. */
  readonly #watched: (Pollable | undefined)[] = []
  readonly #serials: number[] = []
  #count = 0
  #serial = 0
  #putOff: Pollable[] = []
  #turnIsDue = false

  /** @throws Error where there is no FFI, or no uv_poll_t in it; SystemError `EMFILE` */
  constructor() {
    const { addressOf } = requireFfi()
    this.#calls = requireCalls()
    this.#eventsAddress = addressOf(this.#events)
    this.#changeAddress = addressOf(this.#change)
    this.#epoll = check('epoll_create1', this.#calls.epollCreate(O_CLOEXEC))
    this.#watch = watchInNodesLoop(this.#epoll, () => this.#takeTurnSoon())
  }

  /**
   * Watches a descriptor for `events`, bits of EPOLL.
   * @throws SystemError `ENOMEM`, `ENOSPC`
   */
  add(fd: number, events: number, pollable: Pollable): void {
    const serial = (this.#serial = (this.#serial + 1) | 0)
    this.#control(EPOLL_CTL.ADD, fd, events, serial)
    this.#watched[fd] = pollable
    this.#serials[fd] = serial
    if (this.#count++ === 0) this.#watch.start()
  }

  /** Watches a descriptor for something else than before, or for nothing for a while. */
  change(fd: number, events: number): void {
    this.#control(EPOLL_CTL.MOD, fd, events, this.#serials[fd] ?? 0)
  }

  /** Stops watching a descriptor whose socket lives on elsewhere: the set would go on to report that, see epoll(7). */
  forget(fd: number): void {
    if (this.#watched[fd] === undefined) return
    this.#control(EPOLL_CTL.DEL, fd, 0, 0)
    this.#drop(fd)
  }

  /** Closes a descriptor, watched or not; nobody else may have its socket. */
  close(fd: number): void {
    if (fd < 0) return
    this.#calls.close(fd)
    if (this.#watched[fd] !== undefined) this.#drop(fd)
  }

  /** Has `pollable` go on once the others had their turn, which its events don't bring about by themselves. */
  putOff(pollable: Pollable): void {
    this.#putOff.push(pollable)
    this.#takeTurnSoon()
  }

  #drop(fd: number): void {
    this.#watched[fd] = undefined
    // With nothing to wait for, Node may end.
    if (--this.#count === 0) this.#watch.stop()
  }

  /** In Node's own turn, and not in libuv's callback: there promises would not go on, and errors would end in libuv. */
  #takeTurnSoon(): void {
    if (this.#turnIsDue) return
    this.#turnIsDue = true
    setImmediate(this.#takeTurn)
  }

  readonly #takeTurn = (): void => {
    this.#turnIsDue = false
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const count = this.#calls.epollWait(this.#epoll, this.#eventsAddress, MAX_EVENTS, 0)
      for (let i = 0; i < count; i++) this.#dispatch(i * EVENT.size)
      const putOff = this.#putOff
      // Looking again costs less than having Node wake us again.
      if (putOff.length === 0 && count === 0) return
      this.#putOff = []
      for (const pollable of putOff) call(pollable, 0)
    }
    if (this.#putOff.length > 0) this.#takeTurnSoon()
  }

  #dispatch(at: number): void {
    const fd = this.#events[at + EVENT.fd] ?? 0
    const pollable = this.#watched[fd]
    if (pollable === undefined || this.#serials[fd] !== this.#events[at + EVENT.serial]) return
    call(pollable, this.#events[at] ?? 0)
  }

  #control(operation: number, fd: number, events: number, serial: number): void {
    this.#change[0] = events
    this.#change[EVENT.fd] = fd
    this.#change[EVENT.serial] = serial
    const answer = this.#calls.epollControl(this.#epoll, operation, fd, this.#changeAddress)
    check('epoll_ctl', answer)
  }
}

function call(pollable: Pollable, events: number): void {
  try {
    pollable.ready(events)
  } catch (err) {
    pollable.fail(err)
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
