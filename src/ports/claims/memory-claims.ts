import type { Holder } from '../holder.js'
import type { HostPort } from '../host-port.js'
import type { Claim, ClaimResult, Claims } from './claims.js'
import { PortIndex } from './port-index.js'

/** Claims in the memory of this process. */
export class MemoryClaims implements Claims {
  readonly #claims = new PortIndex<Claim>()

  // eslint-disable-next-line @typescript-eslint/require-await -- other stores answer later
  async claim({ protocol, ip, port }: HostPort, holder: Holder): Promise<ClaimResult> {
    const claim = {
      ...{ protocol, ip, port, holder },
      describe: (fresh: Holder) => {
        claim.holder = fresh
        return Promise.resolve()
      },
      release: () => {
        this.#claims.delete(claim)
        return Promise.resolve()
      },
    }
    const overlapping = this.#claims.find(claim)
    if (overlapping) return { heldBy: overlapping.holder }
    this.#claims.add(claim)
    return { claim }
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- other stores answer later
  async holderOf(port: HostPort): Promise<Holder | undefined> {
    return this.#claims.find(port)?.holder
  }
}
