import { collectGarbage } from './heap.js'
import { releaseFilePages } from '../linux/ffi/file-pages.js'
import { returnFreedMemory } from '../linux/ffi/freed-memory.js'

/** A burst of work is over after this time without work, milliseconds. */
const QUIET_MS = 25

let timer: NodeJS.Timeout | undefined

/** Returns memory that a start or a burst of work no longer needs to the system, once the burst is over. */
export function releaseMemorySoon(): void {
  if (timer) timer.refresh()
  else timer = setTimeout(releaseMemory, QUIET_MS).unref()
}

function releaseMemory(): void {
  collectGarbage()
  returnFreedMemory()
  releaseFilePages()
}
