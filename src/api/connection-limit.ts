import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Limits the connections of a server. Where there is no room for a new client, the connection that has been without a request for the
 * longest time makes room: silent clients can't lock others out.
 * @param max connections at once; they must not use up the descriptors that the ports need
 */
export function limitConnections(server: Server, max: number): void {
  let open = 0
  /** Connections without a request, in the order since when. */
  const idle = new Map<unknown, Socket>()
  server.on('connection', (socket: Socket) => {
    const key = keyOf(socket)
    open++
    idle.set(key, socket)
    if (open > max) idle.values().next().value?.destroy()
    socket.once('close', () => {
      open--
      idle.delete(key)
    })
  })
  server.on('request', ({ socket }, response) => {
    const key = keyOf(socket)
    const connection = idle.get(key)
    idle.delete(key)
    response.once('close', () => {
      if (connection && !connection.destroyed) idle.set(key, connection)
    })
  })
}

/** Identifies a connection: with TLS, a request has another socket than the connection, but the same client address. */
function keyOf(socket: Socket): unknown {
  const { remoteAddress, remotePort } = socket
  return remotePort === undefined ? socket : `${remoteAddress} ${remotePort}`
}
