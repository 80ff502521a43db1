import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/*
 * V8's heap, where its own ways are not those of a process that waits for long and then has much to do at once.
 */

/**
 * Keeps V8's young generation at the size that it starts with: a burst of ports, connections or requests lets it grow to sixteen
 * times that, and it does not shrink again. These programs allocate little, so it costs no more than a collection now and then.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}

/** What may have become unreachable before a collection is worth its time, bytes. */
const WORTH_COLLECTING = 8 * 1024 * 1024

let collect: (() => void) | undefined
let heldAfterwards: number | undefined

/**
 * Has V8 free what is unreachable, where much has come since it was last asked: left alone it lets a heap that starts small grow to several
 * times of what is used. Takes about half a millisecond for each MB in use.
 */
export function collectMuchGarbage(): void {
  const used = usedHeap()
  heldAfterwards ??= used
  if (used < heldAfterwards + WORTH_COLLECTING) return
  if (!collect) {
    setFlagsFromString('--expose-gc')
    // Contexts made from now on have it.
    collect = runInNewContext('gc') as () => void
  }
  collect()
  heldAfterwards = usedHeap()
}

/** Bytes. memoryUsage() of process would open a file in /proc, and throw where no descriptor is left. */
function usedHeap(): number {
  return getHeapStatistics().used_heap_size
}
