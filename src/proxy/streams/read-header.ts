import type { Socket } from 'node:net'
import { parseProxyHeader, type ParsedHeader } from '../parse-proxy-header.js'

/**
 * Reads a header from a paused socket, and puts the data behind it back.
 * @see Transport.readHeader
 */
export function readHeader(
  socket: Socket,
  done: (header: ParsedHeader | undefined) => void,
): () => void {
  let received = Buffer.alloc(0)
  const stop = (): void => {
    socket.off('readable', read)
    socket.off('end', fail)
    socket.off('close', fail)
  }
  const fail = (): void => {
    stop()
    done(undefined)
  }
  const read = (): void => {
    for (let data: unknown; (data = socket.read()) !== null;) {
      received = Buffer.concat([received, data as Buffer])
    }
    const header = parseProxyHeader(received)
    if (header === 'incomplete') return
    if (header === 'invalid') return fail()
    stop()
    if (received.length > header.length) socket.unshift(received.subarray(header.length))
    done(header)
  }
  socket.on('readable', read)
  socket.on('end', fail)
  socket.on('close', fail)
  return stop
}
