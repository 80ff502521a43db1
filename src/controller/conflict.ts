import { joinHostPort } from '../proxy/published-port.js'
import type { Claim } from './claim.js'
import type { Holder } from './holder.js'

/** What would work instead of a port that is taken. */
export interface Suggestions {
  /** The nearest ports that are free on the address that was asked for. */
  readonly ports: readonly number[]
  /** An address of this host on which the port itself is free. */
  readonly address?: string
}

/** Why a request was understood, and refused. */
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

/** A request that can't be followed; the message's first line is the one that scripts match. */
export class Refusal extends Error {
  override readonly name = 'Refusal'

  constructor(
    readonly code: RefusalCode,
    message: string,
    readonly details: { readonly holder?: Holder; readonly suggestions?: Suggestions } = {},
  ) {
    super(message)
  }
}

/** dockerd's text for a port that it has given away itself; its addresses have no brackets. */
export function allocatedText({ ip, port }: Claim): string {
  return `Bind for ${ip}:${port} failed: port is already allocated`
}

/** dockerd's text for a port that the kernel would not give. */
export function bindText({ protocol, ip, port }: Claim, reason: string): string {
  return `failed to bind host port ${joinHostPort(ip, port)}/${protocol}: ${reason}`
}

/** dockerd's text for a range that has no port left. */
export const EXHAUSTED_TEXT = 'all ports are allocated'
