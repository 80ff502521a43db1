import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { errnoCode } from '../../linux/errno.js'
import { MAX_RETRIES, type Flow, type FlowEvents } from '../datagram-proxy.js'
import { backendAddressOf, type PublishedPort } from '../published-port.js'
import type { Received } from './udp.js'

/** How many datagrams a flow keeps until its socket is ready. */
const MAX_WAITING = 64

/** @see DatagramTransport.openFlow */
export function openFlow(first: Received, port: PublishedPort, events: FlowEvents): Flow<Received> {
  const host = backendAddressOf(port)
  const socket = createSocket({
    type: isIPv6(host) ? 'udp6' : 'udp4',
    // Nothing to look up: it is an address.
    lookup: (name, _options, done) => done(null, name, isIPv6(name) ? 6 : 4),
  })
  let isConnected = false
  /** What came before the socket was ready, which is only a turn of the event loop. */
  let waiting: Buffer[] = []
  let isClosed = false

  const fail = (err: Error): void => {
    // Not before the flow is known: Node tells at once of a socket that can't be bound.
    process.nextTick(() => {
      if (!isClosed) events.broken(err)
    })
  }
  const send = (data: Buffer, retries = MAX_RETRIES): void => {
    if (isClosed) return
    socket.send(data, (err) => {
      // The kernel tells of the refusal of an earlier datagram, and has not sent this one, see udp(7).
      if (err && errnoCode(err) === 'ECONNREFUSED' && retries > 0) send(data, retries - 1)
    })
  }

  socket.on('message', (reply) => {
    events.answered(reply.length)
    first.answer(reply)
  })
  socket.on('error', fail)
  // Where it fails the listener of 'connect' is called with the error.
  socket.connect(port.containerPort, host, (err?: Error) => {
    if (isClosed) return
    if (err) return fail(err)
    isConnected = true
    for (const data of waiting) send(data)
    waiting = []
  })
  return {
    send({ data }) {
      if (isConnected) send(data)
      else if (waiting.length < MAX_WAITING) waiting.push(data)
    },
    close() {
      if (isClosed) return
      isClosed = true
      socket.close()
    },
  }
}
