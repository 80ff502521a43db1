import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'
import { loadCheckedSyscalls } from '../../src/linux/ffi/checked-syscalls.js'

/*
 * Real sockets for tests. All of them are closed when the test ends.
 */

export interface Backend {
  readonly server: Server
  readonly ip: string
  readonly port: number
}

/** A TCP server on a free port. Its sockets stay half-open after the client's end. */
export async function startBackend(
  t: Test,
  onConnection: (socket: Socket) => void,
  ip = '127.0.0.1',
  port = 0,
): Promise<Backend> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    onConnection(socket)
  })
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  server.listen({ host: ip, port, ipv6Only: true })
  await once(server, 'listening')
  return { server, ip, port: (server.address() as AddressInfo).port }
}

/** A server that echoes everything, including the end. */
export function startEcho(t: Test, ip?: string, port?: number): Promise<Backend> {
  return startBackend(t, (socket) => socket.pipe(socket), ip, port)
}

/** Connects. Later errors are ignored unless the caller waits for them. */
export async function dial(t: Test, port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host, allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  socket.on('error', () => undefined)
  return socket
}

/** Everything until the end of stream. Rejects if the stream breaks. */
export async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString()
}

/** Reads until this many bytes have come. */
export async function readBytes(socket: Socket, count: number): Promise<string> {
  let text = ''
  while (text.length < count) {
    const chunk = socket.read() as Buffer | null
    if (chunk === null) await once(socket, 'readable')
    else text += chunk.toString()
  }
  return text
}

/** Whether the next that comes is data, and not the end or a reset. */
export async function isAnswered(socket: Socket): Promise<boolean> {
  if (socket.destroyed || socket.readableEnded) return false
  return new Promise((resolve) => {
    socket.once('data', () => resolve(true))
    socket.once('end', () => resolve(false))
    socket.once('close', () => resolve(false))
  })
}

/** Sends `text` and an end, and returns everything that comes back. */
export async function exchange(
  t: Test,
  port: number,
  text: string,
  host?: string,
): Promise<string> {
  const socket = await dial(t, port, host)
  socket.end(text)
  const answer = await readAll(socket)
  socket.destroy()
  return answer
}

/** The code of the error that breaks the socket. */
export async function breakage(socket: Socket): Promise<string | undefined> {
  socket.resume()
  const [err] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  return err.code
}

/**
 * A listening socket that no process accepts from. Hand the descriptor over, or leave it alone: then it is a backend
 * that stays silent once its backlog is full.
 */
export async function listeningDescriptor(
  t: Test,
  options: { host: string; port?: number; ipv6Only?: boolean; backlog?: number },
): Promise<{ fd: number; port: number }> {
  const server = createServer()
  server.listen({ port: 0, ...options })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const { _handle: handle } = server as Server & { _handle?: { fd: number } }
  const fd = loadCheckedSyscalls()?.duplicate(handle?.fd ?? -1)
  server.close()
  if (fd === undefined) t.bailout('this platform has no FFI to duplicate a descriptor with')
  return { fd: fd ?? -1, port }
}

/** Writes random bytes and the end, as fast as the other side reads. Returns the hash. */
export async function writeRandom(socket: Socket, size: number): Promise<string> {
  const hash = createHash('sha256')
  const block = randomBytes(1024 * 1024)
  for (let sent = 0; sent < size; sent += block.length) {
    block.writeUInt32LE(sent / block.length, 0)
    const copy = Buffer.from(block)
    hash.update(copy)
    if (!socket.write(copy)) await once(socket, 'drain')
  }
  socket.end()
  return hash.digest('hex')
}

/** The hash of everything until the end of stream. */
export async function readHash(socket: Socket): Promise<{ hash: string; size: number }> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    hash.update(chunk as Buffer)
    size += (chunk as Buffer).length
  }
  return { hash: hash.digest('hex'), size }
}
