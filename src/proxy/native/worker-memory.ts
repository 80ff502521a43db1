import { ringMemory, type RingMemory } from './ring.js'

/** Relays of a worker at most; a power of two. */
export const MAX_RELAYS = 16_384
/** Messages under way for a place at most: an order that came too late for the last relay there, and two for this one; a power of two. */
const MAX_UNDER_WAY = 4

/** An order to a worker, or a report from it: its kind, and the relay's place in the table; or a port's number. */
export const ORDER = { OPEN: 0, ADOPT: 1, DESTROY: 2, STOP: 3, FORGET: 4 } as const
export const REPORT = { DIAL_FAILED: 0, ENDED: 1 } as const
const KIND_BITS = 3

export function message(kind: number, place: number): number {
  return (place << KIND_BITS) | kind
}

export function parseMessage(number: number): { kind: number; place: number } {
  return { kind: number & ((1 << KIND_BITS) - 1), place: number >> KIND_BITS }
}

/** What the main thread and a worker share. */
export interface WorkerMemory {
  readonly orders: RingMemory
  readonly reports: RingMemory
  readonly relays: RelayTable
}

/**
 * The relays of a worker, by place. The sockets are there so that the main thread can close them if the worker dies.
 */
export interface RelayTable {
  /** Descriptors; -1 where there is none. */
  readonly clients: Int32Array
  readonly backends: Int32Array
  /** Numbers of ports, by which the worker knows where the backend is. */
  readonly ports: Int32Array
  /** Why the backend can't be reached, errno. */
  readonly errors: Int32Array
  /** Bytes from the client and to it so far, those before the worker had the relay among them. */
  readonly bytesIn: Float64Array
  readonly bytesOut: Float64Array
}

/**
 * @param ordersBell the eventfd that wakes the worker
 * @param reportsBell the one that wakes the main thread
 */
export function workerMemory(ordersBell: number, reportsBell: number): WorkerMemory {
  const numbers = (): Int32Array =>
    new Int32Array(new SharedArrayBuffer(MAX_RELAYS * Int32Array.BYTES_PER_ELEMENT))
  const counts = (): Float64Array =>
    new Float64Array(new SharedArrayBuffer(MAX_RELAYS * Float64Array.BYTES_PER_ELEMENT))
  return {
    orders: ringMemory(MAX_UNDER_WAY * MAX_RELAYS, ordersBell),
    reports: ringMemory(MAX_UNDER_WAY * MAX_RELAYS, reportsBell),
    relays: {
      clients: numbers(),
      backends: numbers(),
      ports: numbers(),
      errors: numbers(),
      bytesIn: counts(),
      bytesOut: counts(),
    },
  }
}
