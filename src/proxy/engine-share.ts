import { descriptorLimit } from '../linux/descriptors.js'

/*
 * What an engine may have of the process's descriptors beside those of its relays.
 */

/** Pipes for bulk transfers at once, and of how many descriptors one may be for a pipe, which has two ends. */
const MAX_PIPES = 64
const DESCRIPTORS_FOR_A_PIPE = 64
const PER_PIPE = 2
/** Threads at most, of how many descriptors there may be one, and what it takes of them for itself. */
export const MAX_THREADS = 16
const DESCRIPTORS_FOR_A_THREAD = 256
const PER_THREAD = 12

/** How many pipes an engine may open beside its relays: no connection is turned away for one. */
export function affordablePipes(): number {
  try {
    return Math.min(MAX_PIPES, Math.floor(descriptorLimit() / DESCRIPTORS_FOR_A_PIPE))
  } catch {
    return 0 // As below.
  }
}

/** How many threads an engine may have of those wanted. */
export function affordableThreads(wanted: number): number {
  try {
    const affordable = Math.floor(descriptorLimit() / DESCRIPTORS_FOR_A_THREAD)
    return Math.max(1, Math.min(wanted, MAX_THREADS, affordable))
  } catch {
    return 1 // As below.
  }
}

/** How many pipes each of an engine's threads may open. */
export function pipesOfThread(threads: number): number {
  return Math.floor(affordablePipes() / threads)
}

/** How many descriptors an engine with so many threads may need. */
export function descriptorsOfEngine(threads: number): number {
  return PER_PIPE * affordablePipes() + PER_THREAD * (affordableThreads(threads) - 1)
}
