import { requireCalls, type Calls } from '../../linux/calls.js'
import { Poller } from '../../linux/epoll.js'
import { requireFfi } from '../../linux/ffi.js'
import { PipePool } from './pipe-pool.js'

/** Bytes of one read; what is bulk fills it more than once. */
const BUFFER_SIZE = 64 * 1024
/** Pipes for bulk transfers at once; those who get none are copied. */
const MAX_PIPES = 64

/** What all native proxies of a process share. */
export interface Kernel {
  readonly calls: Calls
  readonly poller: Poller
  readonly pipes: PipePool
  /** Where small data passes through; nothing stays in it from one call to the next. */
  readonly buffer: { readonly bytes: Buffer; readonly address: number }
}

/** @throws Error saying why the kernel can't be spoken to like this */
export function openKernel(): Kernel {
  const calls = requireCalls()
  const bytes = Buffer.allocUnsafeSlow(BUFFER_SIZE)
  return {
    calls,
    poller: new Poller(),
    pipes: new PipePool(calls, MAX_PIPES),
    buffer: { bytes, address: requireFfi().addressOf(bytes) },
  }
}
