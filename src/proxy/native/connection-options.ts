import type { Calls } from '../../linux/calls.js'
import { OPTION } from '../../linux/constants.js'
import { KEEP_ALIVE_S } from '../connection-proxy.js'
import type { Protocol } from '../published-port.js'

/** Sets what both sockets of a relay are set to; what a listening socket has, its connections have from their start, see tcp(7). */
export function setConnectionOptions(calls: Calls, fd: number, protocol: Protocol): void {
  // SCTP has a heartbeat of its own.
  if (protocol === 'sctp') calls.setOption(fd, OPTION.SCTP_NODELAY, 1)
  if (protocol !== 'tcp') return
  calls.setOption(fd, OPTION.TCP_NODELAY, 1)
  calls.setOption(fd, OPTION.SO_KEEPALIVE, 1)
  calls.setOption(fd, OPTION.TCP_KEEPIDLE, KEEP_ALIVE_S)
  calls.setOption(fd, OPTION.TCP_KEEPINTVL, KEEP_ALIVE_S)
}
