import { requireCalls } from './calls.js'
import { AF_UNIX, MSG, SOCK } from './constants.js'
import { requireFfi } from './ffi.js'
import { unixAddress } from './socket-address.js'
import { check } from './system-error.js'

/** In a millisecond. */
const MICROSECONDS = 1_000

/**
 * Tells systemd that we are not hung, as long as `isSo`, where it wants to know, see WatchdogSec= in systemd.service(5). Its variable
 * WATCHDOG_PID may name the one whose place we have taken.
 */
export function tellSystemdOfLife(isSo: () => boolean): void {
  const limit = Number(process.env['WATCHDOG_USEC'])
  if (!(limit > 0)) return
  setInterval(
    () => {
      try {
        if (isSo()) notifySystemd('WATCHDOG=1')
      } catch {
        // It starts us again, if it does not hear the next either.
      }
    },
    limit / MICROSECONDS / 2,
  ).unref()
}

/**
 * Tells systemd of a change, where it is what started us, see sd_notify(3).
 *
 * @param state as `READY=1`
 * @param path of systemd's socket: the variable NOTIFY_SOCKET
 * @throws SystemError when nobody listens there
 */
export function notifySystemd(state: string, path = process.env['NOTIFY_SOCKET']): void {
  if (!path) return
  const calls = requireCalls()
  const { addressOf } = requireFfi()
  const fd = check('socket', calls.socket(AF_UNIX, SOCK.DGRAM | SOCK.CLOEXEC, 0))
  try {
    const address = unixAddress(path)
    const text = Buffer.from(state)
    check('connect', calls.connect(fd, addressOf(address), address.length))
    check('send', calls.send(fd, addressOf(text), text.length, MSG.NOSIGNAL))
  } finally {
    calls.close(fd)
  }
}
