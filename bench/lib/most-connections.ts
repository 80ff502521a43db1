import { descriptorLimit } from '../../src/linux/proc/descriptors.js'

const WANTED = 10_000
/** A proxy takes two descriptors for each connection, and some for itself. */
const PER_CONNECTION = 2
const RESERVE = 1_000
const STEP = 100

/** Connections that a proxy can have here at once, of as many as the benchmark would like. */
export const MOST_CONNECTIONS = Math.min(
  WANTED,
  Math.floor((descriptorLimit() - RESERVE) / PER_CONNECTION / STEP) * STEP,
)
