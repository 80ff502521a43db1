import type { Server, Socket } from 'node:net'

/**
 * Whether the kernel still has the other end of a connection, see getpeername(2). Node keeps the address that `remoteAddress` has found,
 * so its handle is asked.
 */
export function hasPeer(socket: Socket): boolean {
  const { _handle: handle } = socket as typeof socket & {
    _handle?: { getpeername?(address: object): number } | null
  }
  return handle?.getpeername?.({}) === 0
}

/** The descriptor of an open socket. Node does not document it, but every version keeps it in the handle. */
export function descriptorOf(socket: Server | Socket): number | undefined {
  const { _handle: handle } = socket as typeof socket & { _handle?: { fd?: number } | null }
  const fd = handle?.fd
  return fd === undefined || fd < 0 ? undefined : fd
}
