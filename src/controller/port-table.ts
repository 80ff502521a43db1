import type { Claim } from './claim.js'
import { claimsConflict } from './claim.js'
import type { Holder } from './holder.js'

/** A claim that a publication of ours holds. */
interface HeldClaim {
  readonly claim: Claim
  readonly holder: Holder
}

/** The ports that this controller has given away: the first of the two layers that a request must pass. */
export class PortTable {
  readonly #held = new Set<HeldClaim>()

  /** Who of ours holds what the claim asks for. */
  holderOf(claim: Claim): Holder | undefined {
    for (const held of this.#held) if (claimsConflict(held.claim, claim)) return held.holder
    return undefined
  }

  /** @returns gives the claim back */
  hold(claim: Claim, holder: Holder): () => void {
    const held = { claim, holder }
    this.#held.add(held)
    return () => this.#held.delete(held)
  }
}
