import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/*
 * V8's heap, where its own ways are not those of a process that waits for long and then has much to do at once.
 */

/**
 * Keeps V8's young generation at the size that it starts with: a burst of ports or connections lets it grow to sixteen times that, and it
 * does not shrink again. What forwards allocates little, so it costs no more than a collection now and then.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}

let collect: (() => void) | undefined

/** Frees what is unreachable by now, and would stay until the heap has doubled. Takes about half a millisecond for each of its MB. */
export function collectGarbage(): void {
  if (!collect) {
    setFlagsFromString('--expose-gc')
    // Contexts made from now on have it.
    collect = runInNewContext('gc') as () => void
  }
  collect()
}
