import type { Holder } from '../holder.js'
import type { HostPort } from '../host-port.js'

/** A right to a port: no other publication of ours gets a port that overlaps with it. */
export interface Claim extends HostPort {
  readonly holder: Holder
  /** Replaces the description of the holder, for example once it has a name. */
  describe(holder: Holder): Promise<void>
  /** Gives the claim back. May be called again. */
  release(): Promise<void>
}

/** A port that was claimed, or the holder of a claim that overlaps with it. */
export type ClaimResult =
  | { readonly claim: Claim; readonly heldBy?: undefined }
  | { readonly claim?: undefined; readonly heldBy: Holder }

/** Where claims are kept. A store may be in another process, so it answers later. */
export interface Claims {
  /** Claims a port, unless an overlapping port is claimed. */
  claim(port: HostPort, holder: Holder): Promise<ClaimResult>
  /** The holder of a claim that overlaps with a port. */
  holderOf(port: HostPort): Promise<Holder | undefined>
}
