import type { Server, Socket } from 'node:net'

/** The descriptor of an open socket. Node does not document it, but every version keeps it in the handle. */
export function descriptorOf(socket: Server | Socket): number | undefined {
  const { _handle: handle } = socket as typeof socket & { _handle?: { fd?: number } | null }
  const fd = handle?.fd
  return fd === undefined || fd < 0 ? undefined : fd
}
