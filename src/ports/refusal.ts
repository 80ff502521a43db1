import type { Holder } from './holder.js'
import { formatHostPort, type HostPort } from './host-port.js'
import type { Suggestions } from './suggestions.js'

/** Why a request was understood and refused. */
export type RefusalCode =
  | 'port-allocated'
  | 'port-in-use'
  | 'ports-exhausted'
  | 'bind-failed'
  | 'name-in-use'
  | 'no-such-publication'
  | 'no-such-port'
  | 'proxy-failed'
  | 'state-not-saved'
  | 'busy'
  | 'no-answer'
  | 'no-engine'
  | 'no-such-container'
  | 'other-engine'
  | 'container-unreachable'
  | 'nat-impossible'

/** Details of a conflict. */
export interface RefusalDetails {
  readonly holder?: Holder
  readonly suggestions?: Suggestions
}

/** A request that was understood and refused. Scripts match the first line of the message. */
export class Refusal extends Error {
  override readonly name = 'Refusal'

  constructor(
    readonly code: RefusalCode,
    message: string,
    readonly details: RefusalDetails = {},
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** dockerd's text for a port that it has published itself. Its addresses have no brackets. */
export function allocatedMessage({ ip, port }: HostPort): string {
  return `Bind for ${ip}:${port} failed: port is already allocated`
}

/** dockerd's text for a port that the kernel refuses. */
export function bindFailedMessage(port: HostPort, reason: string): string {
  return `failed to bind host port ${formatHostPort(port)}: ${reason}`
}

/** dockerd's text for a range without a free port. */
export const EXHAUSTED_MESSAGE = 'all ports are allocated'
