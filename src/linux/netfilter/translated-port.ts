import type { BindAddress } from '../sockets/port-socket.js'

/** A port of this host whose clients from outside are sent to containers by the kernel. */
export interface TranslatedPort extends BindAddress {
  /** Containers of the same family as the port's address. New connections are shared among several. */
  readonly containerIps: readonly string[]
  readonly containerPort: number
}
