import { readFileSync } from 'node:fs'
import { requireFfi } from './ffi.js'

/** Of linux/mman.h. */
const MADV_DONTNEED = 4
/** So many page faults since the last time make it worth some milliseconds; some of them are of other memory. */
const WORTH_RELEASING = 500

let advise: ((address: number, length: number) => unknown) | undefined
let faultsBefore = 0

/**
 * Takes the pages of programs and libraries out of this process's memory, where many have come since the last time: a start touches most of
 * them once. They stay in the kernel's cache, and what is needed again comes back from there, sixteen pages at a time. Does nothing where
 * there is no FFI, or no descriptor left to look with.
 * Source: madvise(2), proc(5) `/proc/self/smaps`.
 */
export function releaseFilePages(): void {
  const { minorPageFault } = process.resourceUsage()
  if (minorPageFault < faultsBefore + WORTH_RELEASING) return
  advise ??= declareAdvise()
  for (const [start, end] of unchangedFiles(readMappings())) advise(start, end - start)
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
 * Where files are mapped that can't be written to and have no page that was changed, in memory or in swap, as relocation does: those
 * would be lost.
 * @param smaps text of /proc/self/smaps
 * @returns from where to where each is
 */
export function unchangedFiles(smaps: string): [number, number][] {
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
