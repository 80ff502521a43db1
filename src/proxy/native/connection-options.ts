import type { Syscalls } from '../../linux/ffi/syscalls.js'
import { OPTION } from '../../linux/ffi/constants.js'
import type { Protocol } from '../../ports/host-port.js'
import { KEEP_ALIVE_S } from '../transport.js'

/**
 * Sets the options of a relay's socket. Connections inherit the options of their listening socket, see tcp(7).
 * @param userTimeoutMs TCP_USER_TIMEOUT, milliseconds; 0 leaves it as it is
 */
export function setConnectionOptions(
  syscalls: Syscalls,
  fd: number,
  protocol: Protocol,
  userTimeoutMs: number,
): void {
  // SCTP has its own heartbeat.
  if (protocol === 'sctp') syscalls.setOption(fd, OPTION.SCTP_NODELAY, 1)
  if (protocol !== 'tcp') return
  syscalls.setOption(fd, OPTION.TCP_NODELAY, 1)
  syscalls.setOption(fd, OPTION.SO_KEEPALIVE, 1)
  syscalls.setOption(fd, OPTION.TCP_KEEPIDLE, KEEP_ALIVE_S)
  syscalls.setOption(fd, OPTION.TCP_KEEPINTVL, KEEP_ALIVE_S)
  if (userTimeoutMs !== 0) syscalls.setOption(fd, OPTION.TCP_USER_TIMEOUT, userTimeoutMs)
}
