import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/*
 * Adapts V8's heap to processes that wait for a long time and then have a burst of work.
 */

/**
 * Keeps V8's young generation at its initial size. A burst of ports, connections or requests would let it grow to sixteen times that size,
 * and it never shrinks. These programs allocate little, so the cost is an occasional collection.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}

/** Growth of the heap that justifies a collection, bytes. */
const MIN_GARBAGE = 8 * 1024 * 1024

let collect: (() => void) | undefined
let usedAfterCollection: number | undefined

/**
 * Collects garbage if the heap has grown much since the last time. By itself, V8 lets a small heap grow to several times its used size.
 * Takes about half a millisecond per MB in use.
 */
export function collectGarbage(): void {
  const used = usedHeap()
  usedAfterCollection ??= used
  if (used < usedAfterCollection + MIN_GARBAGE) return
  if (!collect) {
    setFlagsFromString('--expose-gc')
    // Only contexts that are made after the flag was set have the function.
    collect = runInNewContext('gc') as () => void
  }
  collect()
  usedAfterCollection = usedHeap()
}

/** Used heap, bytes. process.memoryUsage() would open a file in /proc, and throw without a free descriptor. */
function usedHeap(): number {
  return getHeapStatistics().used_heap_size
}
