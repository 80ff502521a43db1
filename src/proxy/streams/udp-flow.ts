import { createSocket, type Socket } from 'node:dgram'
import { errnoCode } from '../../linux/errno.js'
import { isIpv6 } from '../../linux/sockets/ip-address.js'
import type { Backend } from '../backend.js'
import { isNetworkError, MAX_RETRIES, type Flow, type FlowEvents } from '../datagram-proxy.js'
import { invalidArgument } from '../listen-error.js'
import type { ReceivedDatagram } from './received-datagram.js'

/** Datagrams that a flow keeps until its socket is connected. */
const MAX_WAITING = 64
/** Datagrams that wait in this process are dropped beyond this, bytes: libuv's queue has no limit of its own. */
const MAX_QUEUE = 256 * 1024

/** @see DatagramTransport.openFlow */
export class UdpFlow implements Flow<ReceivedDatagram> {
  readonly #socket: Socket
  #isConnected = false
  #isClosed = false
  /** Datagrams that came before the socket was connected, which takes one turn of the event loop. */
  #waiting: Buffer[] = []

  constructor(
    private readonly client: ReceivedDatagram,
    { dialAddress }: Backend,
    private readonly events: FlowEvents,
    private readonly header: Buffer,
  ) {
    const { ip, port } = dialAddress ?? { ip: '', port: 0 }
    this.#socket = createSocket({
      type: isIpv6(ip) ? 'udp6' : 'udp4',
      // There is nothing to look up: the name is an address.
      lookup: (name, _options, done) => done(null, name, isIpv6(name) ? 6 : 4),
    })
    this.#socket.on('message', (reply) => this.#confined(() => this.#reply(reply)))
    this.#socket.on('error', (err) => {
      if (this.#isConnected && isNetworkError(err)) this.#networkFailed(err)
      else this.#fail(err)
    })
    // If it fails, Node calls the listener of 'connect' with the error.
    if (dialAddress) {
      this.#socket.connect(port, ip, (err?: Error) => this.#confined(() => this.#connected(err)))
    } else {
      this.#fail(invalidArgument())
    }
  }

  send({ data }: ReceivedDatagram): void {
    if (this.#isConnected) this.#send(data, MAX_RETRIES)
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(data)
    else this.events.dropped(1)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#socket.close()
  }

  #reply(reply: Buffer): void {
    if (this.events.mayReply(reply.length) && this.client.reply(reply))
      this.events.replied(reply.length)
    else this.events.dropped(1)
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
    if (this.#socket.getSendQueueSize() > MAX_QUEUE) return this.events.dropped(1)
    const message = this.header.length > 0 ? [this.header, data] : data
    this.#socket.send(message, (err) => {
      // The kernel reports the refusal of an earlier datagram, and has not sent this one, see udp(7).
      if (!err || !isNetworkError(err)) return
      this.#networkFailed(err)
      if (errnoCode(err) === 'ECONNREFUSED' && retries > 0)
        this.#confined(() => this.#send(data, retries - 1))
    })
  }

  #networkFailed(err: Error): void {
    if (!this.#isClosed) this.events.networkFailed(err)
  }

  /** An exception ends this flow, and not the process. */
  #confined(handle: () => void): void {
    try {
      handle()
    } catch (err) {
      this.#fail(err as Error)
    }
  }

  #fail(err: Error): void {
    // Node reports a socket that can't be bound at once, before the flow is known.
    process.nextTick(() => {
      if (!this.#isClosed) this.events.broke(err)
    })
  }
}
