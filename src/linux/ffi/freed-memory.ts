import { requireFfi } from './ffi.js'

let trim: (() => unknown) | undefined

/**
 * Returns freed memory that libc keeps to the system, see malloc_trim(3): V8's compilers leave some megabytes. Takes less than a
 * millisecond. Does nothing without glibc or FFI.
 */
export function returnFreedMemory(): void {
  trim ??= declareTrim()
  trim()
}

function declareTrim(): () => unknown {
  try {
    const malloc_trim = requireFfi().declare('int malloc_trim(size_t pad)')
    return () => malloc_trim(0)
  } catch {
    return () => undefined
  }
}
