import type { SocketAddress } from '../../linux/sockets/socket-address.js'

/** A client's datagram, and how to reply to the client. */
export interface ReceivedDatagram {
  readonly data: Buffer
  readonly client: SocketAddress
  /** @returns whether there was room in the queue: otherwise the reply is dropped */
  reply(data: Buffer): boolean
}
