import { connect, type Socket } from 'node:net'
import { errnoCode } from '../../linux/errno.js'
import type { Backend } from '../backend.js'
import { KEEP_ALIVE_S } from '../transport.js'
import { isOutOfPorts, LocalPorts } from '../local-ports.js'
import { WaitingDials, type WaitingDial } from '../waiting-dials.js'

/** Options of both sockets of a relay. */
export const SOCKET_OPTIONS = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEP_ALIVE_S * 1000,
} as const

/** Starts connections to a backend. */
export class Dialer {
  readonly #ports: LocalPorts
  readonly #waiting = new WaitingDials((milliseconds, callback) =>
    setTimeout(callback, milliseconds),
  )

  constructor(readonly backend: Backend) {
    this.#ports = new LocalPorts(backend.address.port)
  }

  /** The local port for the next dial; undefined if the kernel should choose. */
  nextPort(): number | undefined {
    return this.#ports.next()
  }

  dial(localPort: number | undefined): Socket {
    const { dialAddress } = this.backend
    return connect({
      ...SOCKET_OPTIONS,
      host: dialAddress?.ip ?? '127.0.0.1',
      // A port that does not exist is refused with each connection, and the proxy goes on.
      port: dialAddress?.port ?? 0,
      // libuv sets SO_REUSEADDR when it binds.
      ...(localPort === undefined ? {} : { localPort }),
    })
  }

  /** Whether a dial has failed because its local port was taken: another program has it, or the pair of addresses is in use. */
  isPortTaken(err: Error): boolean {
    // A port that this user may not bind counts as taken.
    const { syscall } = err as NodeJS.ErrnoException
    return syscall === 'bind' || ['EADDRINUSE', 'EADDRNOTAVAIL'].includes(errnoCode(err) ?? '')
  }

  /** Whether a dial has failed because no local port is free. */
  isOutOfPorts(err: Error): boolean {
    return isOutOfPorts(err, this.backend.dialAddress?.ip ?? '')
  }

  /** Has a dial tried again when a local port may be free. */
  waitForPort(dial: WaitingDial): void {
    this.#waiting.add(dial)
  }
}
