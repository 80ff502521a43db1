import { descriptorLimit } from '../linux/proc/descriptors.js'

/*
 * How the descriptors of the process are shared between the engine itself and its relays.
 */

/** Pipes for bulk transfers, at most. */
const MAX_PIPES = 64
/** The process may have one pipe for each of this many descriptors. */
const DESCRIPTORS_FOR_A_PIPE = 64
/** A pipe has two ends. */
const DESCRIPTORS_PER_PIPE = 2
/** Threads that move data, at most. */
export const MAX_THREADS = 16
/** The process may have one thread for each of this many descriptors. */
const DESCRIPTORS_FOR_A_THREAD = 256
/** Descriptors that a thread needs for itself. */
const DESCRIPTORS_PER_THREAD = 12

/** Pipes that an engine may open beside its relays: no connection is turned away because of a pipe. */
export function maxPipes(): number {
  try {
    return Math.min(MAX_PIPES, Math.floor(descriptorLimit() / DESCRIPTORS_FOR_A_PIPE))
  } catch {
    return 0 // No descriptor is left to read the limit with.
  }
}

/** Threads that an engine may have. @param wanted threads that the settings allow */
export function maxThreads(wanted: number): number {
  try {
    const affordable = Math.floor(descriptorLimit() / DESCRIPTORS_FOR_A_THREAD)
    return Math.max(1, Math.min(wanted, MAX_THREADS, affordable))
  } catch {
    return 1 // No descriptor is left to read the limit with.
  }
}

/** Pipes that each of an engine's threads may open. */
export function pipesPerThread(threads: number): number {
  return Math.floor(maxPipes() / threads)
}

/** Descriptors that an engine with this many threads may need for itself. */
export function engineDescriptors(threads: number): number {
  return DESCRIPTORS_PER_PIPE * maxPipes() + DESCRIPTORS_PER_THREAD * (maxThreads(threads) - 1)
}
