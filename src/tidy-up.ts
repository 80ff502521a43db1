import { collectMuchGarbage } from './heap.js'
import { releaseFilePages } from './linux/file-pages.js'
import { returnFreedMemory } from './linux/freed-memory.js'

/** Nothing has been done for so long: a burst of work is over, milliseconds. */
const QUIET_MS = 25

let whenQuiet: NodeJS.Timeout | undefined

/** Gives back to the system what a start or a burst of work took, and nothing needs any more; soon, when there is time for it. */
export function tidyUpSoon(): void {
  if (whenQuiet) whenQuiet.refresh()
  else whenQuiet = setTimeout(tidyUp, QUIET_MS).unref()
}

function tidyUp(): void {
  collectMuchGarbage()
  returnFreedMemory()
  releaseFilePages()
}
