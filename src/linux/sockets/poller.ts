import { requireSyscalls, type Syscalls } from '../ffi/syscalls.js'
import { EPOLL_CTL, O_CLOEXEC } from '../ffi/constants.js'
import { requireFfi } from '../ffi/ffi.js'
import { check } from '../ffi/system-error.js'
import { EventQueue } from './event-queue.js'

/** Receives the events of a descriptor. */
export interface Pollable {
  /** @param events bits of EPOLL; 0 after `defer` */
  onReady(events: number): void
  /** `onReady` has thrown. Only this pollable has to end. */
  onError(err: unknown): void
}

/**
 * Offsets in struct epoll_event, in 32-bit numbers. It is packed on x86-64 only: elsewhere there is a gap before its 64 bits of data, see
 * `__EPOLL_PACKED` in bits/epoll.h. The first half of the data holds the descriptor, the second half its serial number.
 */
const EVENT = process.arch === 'x64' ? { size: 3, fd: 1, serial: 2 } : { size: 4, fd: 2, serial: 3 }
const BYTES_PER_NUMBER = 4

/** Events of one epoll_wait(2). */
const MAX_EVENTS = 256
/** Calls of epoll_wait(2) in a row, as long as there are more events. */
const MAX_WAITS = 16
/** Events that are handled before new ones are looked for. */
const EVENTS_PER_POLL = 64
/** Deferred pollables that are handled before new events are looked for. They have much to do. */
const DEFERRED_PER_POLL = 16

/** An epoll set, see epoll(7), and the receivers of its events. Subclasses decide when to poll. */
export abstract class Poller {
  protected readonly epoll: number
  readonly #syscalls: Syscalls
  readonly #events = new Int32Array(new ArrayBuffer(MAX_EVENTS * EVENT.size * BYTES_PER_NUMBER))
  readonly #eventsAddress: number
  readonly #change = new Int32Array(new ArrayBuffer(EVENT.size * BYTES_PER_NUMBER))
  readonly #changeAddress: number
  readonly #watched: (Pollable | undefined)[] = []
  /** By descriptor. A serial number tells events of a closed socket from those of a new one with the same descriptor. */
  readonly #serials: number[] = []
  #count = 0
  #handled = 0
  #serial = 0
  readonly #deferred: Pollable[] = []
  /** By descriptor: events that wait in its queue, bits of EPOLL. */
  readonly #waiting: number[] = []
  readonly #queues: (EventQueue | undefined)[] = []
  readonly #defaultQueue = new EventQueue()
  /** Queues that are not empty, in the order of their turns. */
  #turns: EventQueue[] = []

  /** @throws Error if there is no FFI; SystemError `EMFILE` */
  constructor() {
    const { addressOf } = requireFfi()
    this.#syscalls = requireSyscalls()
    this.#eventsAddress = addressOf(this.#events)
    this.#changeAddress = addressOf(this.#change)
    this.epoll = check('epoll_create1', this.#syscalls.epollCreate(O_CLOEXEC))
  }

  /**
   * @param events bits of EPOLL
   * @param queue where the events wait for their turn
   * @throws SystemError `ENOMEM`, `ENOSPC`
   */
  watch(fd: number, events: number, pollable: Pollable, queue = this.#defaultQueue): void {
    const serial = (this.#serial = (this.#serial + 1) | 0)
    this.#control(EPOLL_CTL.ADD, fd, events, serial)
    this.#watched[fd] = pollable
    this.#serials[fd] = serial
    this.#queues[fd] = queue
    this.#waiting[fd] = 0
    if (this.#count++ === 0) this.onWatchedChange(true)
  }

  /** Changes the events that a descriptor is watched for. @param events bits of EPOLL; 0 for none */
  modify(fd: number, events: number): void {
    this.#control(EPOLL_CTL.MOD, fd, events, this.#serials[fd] ?? 0)
  }

  /**
   * Stops watching. Needed before closing a descriptor whose socket another process has as well: the set would continue to report it, see
   * epoll(7).
   */
  unwatch(fd: number): void {
    if (this.#watched[fd] === undefined) return
    this.#control(EPOLL_CTL.DEL, fd, 0, 0)
    this.#removeWatched(fd)
  }

  /** Closes a descriptor, watched or not. No other process may have its socket. */
  close(fd: number): void {
    if (fd < 0) return
    this.#syscalls.close(fd)
    if (this.#watched[fd] !== undefined) this.#removeWatched(fd)
  }

  /** Events handled so far. */
  get handledEvents(): number {
    return this.#handled
  }

  /** Closes the set itself. The watched descriptors stay open. */
  closeSet(): void {
    this.#syscalls.close(this.epoll)
  }

  /** Calls `pollable.onReady(0)` after the others had their turn. */
  defer(pollable: Pollable): void {
    this.#deferred.push(pollable)
    this.onDeferred()
  }

  /** Calls a function after this time, milliseconds. It must not throw. */
  abstract delay(milliseconds: number, callback: () => void): void

  /** Called when the first descriptor is watched, and when none is left. */
  protected abstract onWatchedChange(some: boolean): void
  /** Called when a pollable was deferred, which no event reports. */
  protected abstract onDeferred(): void

  /** Whether events or deferred pollables wait for their turn. */
  protected get hasWork(): boolean {
    return this.#deferred.length > 0 || this.#turns.length > 0
  }

  /**
   * Looks for events, and handles some.
   * @param milliseconds to wait for the first event; -1 for no limit
   * @returns whether there was anything to do
   */
  protected poll(milliseconds: number): boolean {
    this.#receive(milliseconds)
    const hadWork = this.hasWork
    for (let events = 0; events < EVENTS_PER_POLL && this.#turns.length > 0;) {
      const queue = this.#turns.shift() as EventQueue
      const end = events + queue.turn
      for (; events < end && !queue.isEmpty; events++) this.#dispatch(queue.take())
      if (!queue.isEmpty) this.#turns.push(queue)
    }
    if (this.#deferred.length > 0) {
      for (const pollable of this.#deferred.splice(0, DEFERRED_PER_POLL)) notify(pollable, 0)
    }
    return hadWork
  }

  /** Receives all events of the kernel into the queues: one that comes last may belong to the queue whose turn is next. */
  #receive(milliseconds: number): void {
    let wait = milliseconds
    for (let waits = 0; waits < MAX_WAITS; waits++) {
      const count = this.#syscalls.epollWait(this.epoll, this.#eventsAddress, MAX_EVENTS, wait)
      for (let i = 0; i < count; i++) this.#enqueue(i * EVENT.size)
      if (count < MAX_EVENTS) return
      wait = 0
    }
  }

  #removeWatched(fd: number): void {
    this.#watched[fd] = undefined
    this.#queues[fd] = undefined
    this.#waiting[fd] = 0
    if (--this.#count === 0) this.onWatchedChange(false)
  }

  #enqueue(at: number): void {
    const fd = this.#events[at + EVENT.fd] ?? 0
    const queue = this.#queues[fd]
    if (queue === undefined || this.#serials[fd] !== this.#events[at + EVENT.serial]) return
    const waiting = this.#waiting[fd] ?? 0
    this.#waiting[fd] = waiting | (this.#events[at] ?? 0)
    if (waiting !== 0) return
    if (queue.isEmpty) this.#turns.push(queue)
    queue.add(fd)
  }

  #dispatch(fd: number): void {
    const pollable = this.#watched[fd]
    const events = this.#waiting[fd] ?? 0
    // Closed or unwatched since the event.
    if (pollable === undefined || events === 0) return
    this.#waiting[fd] = 0
    this.#handled++
    notify(pollable, events)
  }

  #control(operation: number, fd: number, events: number, serial: number): void {
    this.#change[0] = events
    this.#change[EVENT.fd] = fd
    this.#change[EVENT.serial] = serial
    const answer = this.#syscalls.epollControl(this.epoll, operation, fd, this.#changeAddress)
    check('epoll_ctl', answer)
  }
}

function notify(pollable: Pollable, events: number): void {
  try {
    pollable.onReady(events)
  } catch (err) {
    pollable.onError(err)
  }
}
