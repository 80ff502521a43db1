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

/** An epoll set, see epoll(7), and what each descriptor in it is watched for. Who looks into it, and when, is its subclasses'. */
export abstract class Poller {
  protected readonly epoll: number
  readonly #calls: Calls
  readonly #events = new Int32Array(new ArrayBuffer(MAX_EVENTS * EVENT.size * BYTES_PER_NUMBER))
  readonly #eventsAddress: number
  readonly #change = new Int32Array(new ArrayBuffer(EVENT.size * BYTES_PER_NUMBER))
  readonly #changeAddress: number
  /** What is watched, by descriptor; and the serials, which tell an old event from one of a new socket of that number. */
  readonly #watched: (Pollable | undefined)[] = []
  readonly #serials: number[] = []
  #count = 0
  #handled = 0
  #serial = 0
  #putOff: Pollable[] = []

  /** @throws Error where there is no FFI; SystemError `EMFILE` */
  constructor() {
    const { addressOf } = requireFfi()
    this.#calls = requireCalls()
    this.#eventsAddress = addressOf(this.#events)
    this.#changeAddress = addressOf(this.#change)
    this.epoll = check('epoll_create1', this.#calls.epollCreate(O_CLOEXEC))
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
    if (this.#count++ === 0) this.hasSome(true)
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

  /** Events handled so far. */
  get events(): number {
    return this.#handled
  }

  /** Closes the set itself, which watches nothing from then on; what was watched stays open. */
  closeSet(): void {
    this.#calls.close(this.epoll)
  }

  /** Has `pollable` go on once the others had their turn, which its events don't bring about by themselves. */
  putOff(pollable: Pollable): void {
    this.#putOff.push(pollable)
    this.hasWork()
  }

  /** Called when there is something to watch for the first time, and when there is nothing left. */
  protected abstract hasSome(some: boolean): void
  /** Called when there is work that no event will tell of. */
  protected abstract hasWork(): void

  protected get isWorkPutOff(): boolean {
    return this.#putOff.length > 0
  }

  /**
   * Looks for events once, and has them handled.
   * @param milliseconds to wait for the first; -1 is for ever
   * @returns whether there was anything
   */
  protected look(milliseconds: number): boolean {
    const count = this.#calls.epollWait(this.epoll, this.#eventsAddress, MAX_EVENTS, milliseconds)
    for (let i = 0; i < count; i++) this.#dispatch(i * EVENT.size)
    if (count > 0) this.#handled += count
    const putOff = this.#putOff
    if (putOff.length === 0) return count > 0
    this.#putOff = []
    for (const pollable of putOff) call(pollable, 0)
    return true
  }

  #drop(fd: number): void {
    this.#watched[fd] = undefined
    if (--this.#count === 0) this.hasSome(false)
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
    const answer = this.#calls.epollControl(this.epoll, operation, fd, this.#changeAddress)
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
