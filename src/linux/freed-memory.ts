import { requireFfi } from './ffi.js'

let trim: (() => unknown) | undefined

/**
 * Gives back to the system what was freed and libc has kept for later, see malloc_trim(3): V8's compilers leave some megabytes. It takes
 * under a millisecond. Does nothing where libc is not glibc, or there is no FFI.
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
