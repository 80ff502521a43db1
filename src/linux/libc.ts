import { createRequire } from 'node:module'

/** fcntl(2): a copy of the descriptor, closed on exec. */
const F_DUPFD_CLOEXEC = 1030
const FIRST_AFTER_STDIO = 3

type Fcntl = (fd: number, command: number, type: 'int', argument: number) => number

/** The few calls of libc that Node has no name for. */
export interface Libc {
  /** A second descriptor for the same open socket; undefined when the kernel has none left. */
  duplicate(fd: number): number | undefined
}

/** libc through FFI; undefined where the FFI has no build for this platform. */
export function loadLibc(): Libc | undefined {
  try {
    // Loading takes milliseconds, so it must be possible in the middle of things: no import() here.
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
    const fcntl = koffi.load(null).func('int fcntl(int fd, int command, ...)') as Fcntl
    return {
      duplicate(fd) {
        const copy = fcntl(fd, F_DUPFD_CLOEXEC, 'int', FIRST_AFTER_STDIO)
        return copy < 0 ? undefined : copy
      },
    }
  } catch {
    return undefined
  }
}
