import { requireSyscalls } from './ffi/syscalls.js'
import { AF_UNIX, MSG, SOCK } from './ffi/constants.js'
import { requireFfi } from './ffi/ffi.js'
import { encodeUnixAddress } from './sockets/socket-address.js'
import { check } from './ffi/system-error.js'

/** Microseconds in a millisecond. */
const MICROSECONDS = 1_000

/**
 * Reports to systemd's watchdog that this process works, if the unit has WatchdogSec=, see systemd.service(5). WATCHDOG_PID is not checked:
 * it may name a predecessor.
 * @param isAlive whether to report
 */
export function startSystemdWatchdog(isAlive: () => boolean): void {
  const limit = Number(process.env['WATCHDOG_USEC'])
  if (!(limit > 0)) return
  setInterval(
    () => {
      try {
        if (isAlive()) notifySystemd('WATCHDOG=1')
      } catch {
        // If the next report fails as well, systemd restarts this process.
      }
    },
    limit / MICROSECONDS / 2,
  ).unref()
}

/**
 * Notifies systemd of a state, if systemd has started this process, see sd_notify(3).
 *
 * @param state for example `READY=1`
 * @param path of systemd's socket, by default NOTIFY_SOCKET
 * @throws SystemError if nobody listens there
 */
export function notifySystemd(state: string, path = process.env['NOTIFY_SOCKET']): void {
  if (!path) return
  const syscalls = requireSyscalls()
  const { addressOf } = requireFfi()
  const fd = check('socket', syscalls.socket(AF_UNIX, SOCK.DGRAM | SOCK.CLOEXEC, 0))
  try {
    const address = encodeUnixAddress(path)
    const text = Buffer.from(state)
    check('connect', syscalls.connect(fd, addressOf(address), address.length))
    check('send', syscalls.send(fd, addressOf(text), text.length, MSG.NOSIGNAL))
  } finally {
    syscalls.close(fd)
  }
}
