import { readFileSync } from 'node:fs'
import { requireFfi } from './ffi.js'

/** Source: linux/mman.h. */
const MADV_DONTNEED = 4
/** Page faults since the last release that justify the work of some milliseconds. Some of them concern other memory. */
const MIN_FAULTS = 500

let advise: ((address: number, length: number) => unknown) | undefined
let faultsBefore = 0

/**
 * Releases the pages of program files and libraries, if many were mapped since the last time: a start touches most of them only once. They
 * stay in the kernel's cache, from where they return when needed, sixteen at a time. Does nothing without FFI or a free descriptor.
 * Source: madvise(2), proc(5) `/proc/self/smaps`.
 */
export function releaseFilePages(): void {
  const { minorPageFault } = process.resourceUsage()
  if (minorPageFault < faultsBefore + MIN_FAULTS) return
  advise ??= declareAdvise()
  for (const [start, end] of unchangedMappings(readMappings())) advise(start, end - start)
  faultsBefore = process.resourceUsage().minorPageFault
}

function readMappings(): string {
  try {
    return readFileSync('/proc/self/smaps', 'utf8')
  } catch {
    return ''
  }
}

/**
 * Finds read-only file mappings without any changed page, in memory or in swap. Relocation changes pages, and releasing them would lose
 * the changes.
 * @param smaps text of /proc/self/smaps
 * @returns start and end address of each mapping
 */
export function unchangedMappings(smaps: string): [number, number][] {
  const files = smaps.matchAll(
    /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ \d+ +\/.*\n(?:\w+: .*\n)*?Anonymous: +0 kB\n(?:\w+: .*\n)*?Swap: +0 kB$/gm,
  )
  return [...files].map(([, start = '', end = '']) => [parseInt(start, 16), parseInt(end, 16)])
}

function declareAdvise(): (address: number, length: number) => unknown {
  try {
    const madvise = requireFfi().declare(
      'int madvise(uintptr_t address, size_t length, int advice)',
    )
    return (address, length) => madvise(address, length, MADV_DONTNEED)
  } catch {
    return () => undefined
  }
}
