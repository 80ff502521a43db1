import type { Server, Socket } from 'node:net'

/** The number of an open socket; Node keeps it to itself, but every version has it on the handle. */
export function descriptorOf(socket: Server | Socket): number | undefined {
  const { _handle: handle } = socket as typeof socket & { _handle?: { fd?: number } | null }
  const fd = handle?.fd
  return fd === undefined || fd < 0 ? undefined : fd
}
