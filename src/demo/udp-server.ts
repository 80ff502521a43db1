import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'

/** Starts a UDP server that plays a container: it answers each datagram with its name. */
export async function startUdpServer(
  name: string,
  ip: string,
): Promise<{ socket: Socket; port: number }> {
  const socket = createSocket('udp4')
  socket.on('message', (data, from) => {
    socket.send(`${name} got "${data.toString()}"`, from.port, from.address)
  })
  socket.bind(0, ip)
  await once(socket, 'listening')
  return { socket, port: socket.address().port }
}

/** Sends a datagram to a UDP server on this host. @returns the reply. Rejects if none comes in time. */
export async function askUdp(text: string, port: number): Promise<string> {
  const socket = createSocket('udp4')
  try {
    socket.connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.send(text)
    const [answer] = (await once(socket, 'message', { signal: AbortSignal.timeout(2000) })) as [
      Buffer,
    ]
    return answer.toString()
  } finally {
    socket.close()
  }
}
