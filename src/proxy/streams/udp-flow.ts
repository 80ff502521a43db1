import { createSocket, type Socket } from 'node:dgram'
import { errnoCode } from '../../linux/errno.js'
import { isIpv6 } from '../../linux/sockets/ip-address.js'
import type { Backend } from '../backend.js'
import { MAX_RETRIES, type Flow, type FlowEvents } from '../datagram-proxy.js'
import { invalidArgument } from '../listen-error.js'
import type { ReceivedDatagram } from './received-datagram.js'

/** Datagrams that a flow keeps until its socket is connected. */
const MAX_WAITING = 64

/** @see DatagramTransport.openFlow */
export class UdpFlow implements Flow<ReceivedDatagram> {
  readonly #socket: Socket
  #isConnected = false
  #isClosed = false
  /** Datagrams that came before the socket was connected, which takes one turn of the event loop. */
  #waiting: Buffer[] = []

  constructor(
    client: ReceivedDatagram,
    { dialAddress }: Backend,
    private readonly events: FlowEvents,
  ) {
    const { ip, port } = dialAddress ?? { ip: '', port: 0 }
    this.#socket = createSocket({
      type: isIpv6(ip) ? 'udp6' : 'udp4',
      // There is nothing to look up: the name is an address.
      lookup: (name, _options, done) => done(null, name, isIpv6(name) ? 6 : 4),
    })
    this.#socket.on('message', (reply) => {
      events.replied(reply.length)
      client.reply(reply)
    })
    this.#socket.on('error', (err) => this.#fail(err))
    // If it fails, Node calls the listener of 'connect' with the error.
    if (dialAddress) this.#socket.connect(port, ip, (err?: Error) => this.#connected(err))
    else this.#fail(invalidArgument())
  }

  send({ data }: ReceivedDatagram): void {
    if (this.#isConnected) this.#send(data, MAX_RETRIES)
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(data)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#socket.close()
  }

  #connected(err: Error | undefined): void {
    if (this.#isClosed) return
    if (err) return this.#fail(err)
    this.#isConnected = true
    for (const data of this.#waiting) this.#send(data, MAX_RETRIES)
    this.#waiting = []
  }

  #send(data: Buffer, retries: number): void {
    if (this.#isClosed) return
    this.#socket.send(data, (err) => {
      // The kernel reports the refusal of an earlier datagram, and has not sent this one, see udp(7).
      if (err && errnoCode(err) === 'ECONNREFUSED' && retries > 0) this.#send(data, retries - 1)
    })
  }

  #fail(err: Error): void {
    // Node reports a socket that can't be bound at once, before the flow is known.
    process.nextTick(() => {
      if (!this.#isClosed) this.events.broke(err)
    })
  }
}
