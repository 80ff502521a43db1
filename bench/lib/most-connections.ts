import { descriptorLimit } from '../../src/linux/proc/descriptors.js'

const WANTED = 10_000
/** A proxy uses two descriptors for each connection, and some for itself. */
const PER_CONNECTION = 2
const RESERVE = 1_000
const STEP = 100

/** The number of connections that a proxy can have here, at most as many as the benchmark wants. */
export const MOST_CONNECTIONS = Math.min(
  WANTED,
  Math.floor((descriptorLimit() - RESERVE) / PER_CONNECTION / STEP) * STEP,
)
