import { RELAY_ENDINGS, type RelayEnding } from '../observer.js'
import { ringMemory, type RingMemory } from './ring.js'

/** Relays of a worker at most; a power of two. */
export const MAX_RELAYS = 16_384
/** Messages under way per place at most: late orders for the previous relay there, and three for the current one; a power of two. */
const MESSAGES_PER_PLACE = 8

/** The kind of an order to a worker. It is sent with the relay's place in the table, or with a port's number. */
export const ORDER = {
  OPEN: 0,
  ADOPT: 1,
  DESTROY: 2,
  STOP: 3,
  FORGET: 4,
  CANCEL: 5,
  ABORT: 6,
} as const
/** The kind of a report from a worker. It is sent with the relay's place in the table. */
export const REPORT = { DIAL_ENDED: 0, CLOSED: 1, DIAL_WAITS: 2 } as const
const KIND_BITS = 3

export function message(kind: number, place: number): number {
  return (place << KIND_BITS) | kind
}

export function parseMessage(number: number): { kind: number; place: number } {
  return { kind: number & ((1 << KIND_BITS) - 1), place: number >> KIND_BITS }
}

/** The memory that the main thread and a worker share. */
export interface WorkerMemory {
  readonly orders: RingMemory
  readonly reports: RingMemory
  readonly relays: RelayTable
  /** Its only number is 1 once the thread has loaded its native parts. */
  readonly started: Int32Array
}

/** The relays of a worker, by place. The main thread can close the sockets if the worker dies. */
export interface RelayTable {
  /** Descriptors of clients; -1 if there is none. */
  readonly clients: Int32Array
  /** Descriptors of backends; -1 if there is none. */
  readonly backends: Int32Array
  /** Numbers of ports, by which the worker knows the backend's address. */
  readonly ports: Int32Array
  /** Why a dial failed, errno; 0 if it was cancelled. */
  readonly errors: Int32Array
  /** How a relay ended, see endingAt. */
  readonly endings: Int32Array
  /** Time from the dial until the backend accepted, milliseconds; NaN until then. */
  readonly dialMs: Float64Array
  /** 1 once one side has ended its direction, and the other has not. */
  readonly halfClosed: Int32Array
  /** 1 while data waits for bandwidth. */
  readonly throttled: Int32Array
  /** Bytes from the client so far. Includes those that were moved before the worker took over. */
  readonly bytesIn: Float64Array
  /** Bytes to the client so far. Includes those that were moved before the worker took over. */
  readonly bytesOut: Float64Array
}

export function setEnding({ endings }: RelayTable, place: number, ending: RelayEnding): void {
  endings[place] = RELAY_ENDINGS.indexOf(ending)
}

export function endingAt({ endings }: RelayTable, place: number): RelayEnding {
  return RELAY_ENDINGS[endings[place] ?? 0] ?? 'finished'
}

/**
 * @param ordersEventFd wakes the worker
 * @param reportsEventFd wakes the main thread
 */
export function workerMemory(ordersEventFd: number, reportsEventFd: number): WorkerMemory {
  const numbers = (): Int32Array =>
    new Int32Array(new SharedArrayBuffer(MAX_RELAYS * Int32Array.BYTES_PER_ELEMENT))
  const counts = (): Float64Array =>
    new Float64Array(new SharedArrayBuffer(MAX_RELAYS * Float64Array.BYTES_PER_ELEMENT))
  return {
    orders: ringMemory(MESSAGES_PER_PLACE * MAX_RELAYS, ordersEventFd),
    reports: ringMemory(MESSAGES_PER_PLACE * MAX_RELAYS, reportsEventFd),
    started: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)),
    relays: {
      clients: numbers(),
      backends: numbers(),
      ports: numbers(),
      errors: numbers(),
      endings: numbers(),
      halfClosed: numbers(),
      throttled: numbers(),
      dialMs: counts(),
      bytesIn: counts(),
      bytesOut: counts(),
    },
  }
}
