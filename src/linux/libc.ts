import { createRequire } from 'node:module'

/** fcntl(2): a copy of the descriptor, closed on exec. */
const F_DUPFD_CLOEXEC = 1030
const FIRST_AFTER_STDIO = 3
/** socket(7): whether the socket listens. */
const SOL_SOCKET = 1
const SO_ACCEPTCONN = 30
const SIZE_OF_INT = 4

type Fcntl = (fd: number, command: number, type: 'int', argument: number) => number
type Getsockopt = (
  fd: number,
  level: number,
  option: number,
  value: Int32Array,
  length: Int32Array,
) => number

/** The few calls of libc that Node has no name for. */
export interface Libc {
  /** A second descriptor for the same open socket; undefined when the kernel has none left. */
  duplicate(fd: number): number | undefined
  /** Whether the socket listens; undefined when the kernel does not tell. */
  isListening(fd: number): boolean | undefined
}

/** libc through FFI; undefined where the FFI has no build for this platform. */
export function loadLibc(): Libc | undefined {
  try {
    // Loading takes milliseconds, so it must be possible in the middle of things: no import() here.
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
    const libc = koffi.load(null)
    const fcntl = libc.func('int fcntl(int fd, int command, ...)') as Fcntl
    const getsockopt = libc.func(
      'int getsockopt(int fd, int level, int option, _Out_ int *value, _Inout_ int *length)',
    ) as Getsockopt
    return {
      duplicate(fd) {
        const copy = fcntl(fd, F_DUPFD_CLOEXEC, 'int', FIRST_AFTER_STDIO)
        return copy < 0 ? undefined : copy
      },
      isListening(fd) {
        const value = new Int32Array(1)
        const length = new Int32Array([SIZE_OF_INT])
        const failed = getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, value, length) !== 0
        return failed ? undefined : value[0] === 1
      },
    }
  } catch {
    return undefined
  }
}
