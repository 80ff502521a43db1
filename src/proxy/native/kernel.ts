import { requireCalls, type Calls } from '../../linux/calls.js'
import type { Poller } from '../../linux/epoll.js'
import { requireFfi } from '../../linux/ffi.js'
import { affordablePipes } from '../engine-share.js'
import { PipePool } from './pipe-pool.js'

/** Bytes of one read; what is bulk fills it more than once. */
const BUFFER_SIZE = 64 * 1024
/** Where the layouts of `linux/` hold: 64 bits, the lowest byte first, and the constants of most. */
const ARCHITECTURES: readonly string[] = ['x64', 'arm64']

/** What all native proxies of a thread share. */
export interface Kernel<P extends Poller = Poller> {
  readonly calls: Calls
  readonly poller: P
  readonly pipes: PipePool
  /** Where small data passes through; nothing stays in it from one call to the next. */
  readonly buffer: { readonly bytes: Buffer; readonly address: number }
}

/**
 * @param openPoller how the thread waits for its sockets
 * @param pipes how many it may have
 * @throws Error saying why the kernel can't be spoken to like this
 */
export function openKernel<P extends Poller>(
  openPoller: () => P,
  pipes: () => number = affordablePipes,
): Kernel<P> {
  if (process.platform !== 'linux' || !ARCHITECTURES.includes(process.arch)) {
    throw new Error(
      `it is for Linux on ${ARCHITECTURES.join(' and ')}, and this is ${process.platform} on ${process.arch}`,
    )
  }
  const calls = requireCalls()
  const bytes = Buffer.allocUnsafeSlow(BUFFER_SIZE)
  return {
    calls,
    poller: openPoller(),
    pipes: new PipePool(calls, pipes),
    buffer: { bytes, address: requireFfi().addressOf(bytes) },
  }
}

/** Closes what a kernel has opened; nothing may be under way any more. */
export function closeKernel({ poller, pipes }: Kernel): void {
  pipes.close()
  poller.closeSet()
}
