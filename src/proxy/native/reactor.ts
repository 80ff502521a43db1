import { requireFfi } from '../../linux/ffi/ffi.js'
import { requireSyscalls, type Syscalls } from '../../linux/ffi/syscalls.js'
import { EventQueue } from '../../linux/sockets/event-queue.js'
import type { Poller } from '../../linux/sockets/poller.js'
import { maxPipes } from '../descriptor-shares.js'
import { PipePool } from './pipe-pool.js'

/** Bytes of one read. Bulk data fills the buffer several times in a row. */
const BUFFER_SIZE = 64 * 1024
/** The struct layouts in `linux/` are those of 64-bit little-endian processors. */
const ARCHITECTURES: readonly string[] = ['x64', 'arm64']

/** Listeners that accept before the relays have their turn. Accepting costs much more than relaying a request. */
const LISTENERS_PER_TURN = 2

/** Parts that all native proxies of a thread share. */
export interface Reactor<P extends Poller = Poller> {
  readonly syscalls: Syscalls
  readonly poller: P
  readonly pipes: PipePool
  /** The events of all listeners. */
  readonly accepts: EventQueue
  /** Small data passes through this buffer. Nothing stays in it between two calls. */
  readonly buffer: { readonly bytes: Buffer; readonly address: number }
}

/**
 * @param openPoller how the thread waits for its sockets
 * @param pipes returns how many pipes the thread may have
 * @throws Error that says why this platform is not supported
 */
export function openReactor<P extends Poller>(
  openPoller: () => P,
  pipes: () => number = maxPipes,
): Reactor<P> {
  if (process.platform !== 'linux' || !ARCHITECTURES.includes(process.arch)) {
    throw new Error(
      `it supports Linux on ${ARCHITECTURES.join(' and ')}, and this is ${process.platform} on ${process.arch}`,
    )
  }
  const syscalls = requireSyscalls()
  const bytes = Buffer.allocUnsafeSlow(BUFFER_SIZE)
  return {
    syscalls,
    poller: openPoller(),
    pipes: new PipePool(syscalls, pipes),
    accepts: new EventQueue(LISTENERS_PER_TURN),
    buffer: { bytes, address: requireFfi().addressOf(bytes) },
  }
}

/** Closes what a reactor has opened. No relay may be open. */
export function closeReactor({ poller, pipes }: Reactor): void {
  pipes.close()
  poller.closeSet()
}
