import type { Holder } from '../holder.js'
import type { HostPort } from '../host-port.js'
import type { Claim, ClaimResult, Claims } from './claims.js'
import { portsOverlap } from './overlap.js'

/** Claims in the memory of this process, indexed by protocol and port. */
export class MemoryClaims implements Claims {
  readonly #byPort = new Map<string, Set<Claim>>()

  // eslint-disable-next-line @typescript-eslint/require-await -- other stores answer later
  async claim(port: HostPort, holder: Holder): Promise<ClaimResult> {
    const overlapping = this.#find(port)
    if (overlapping) return { heldBy: overlapping.holder }
    const key = keyOf(port)
    const claims = this.#byPort.get(key) ?? new Set<Claim>()
    const { protocol, ip, port: number } = port
    const claim = {
      ...{ protocol, ip, port: number, holder },
      describe: (fresh: Holder) => {
        claim.holder = fresh
        return Promise.resolve()
      },
      release: () => {
        if (claims.delete(claim) && claims.size === 0 && this.#byPort.get(key) === claims) {
          this.#byPort.delete(key)
        }
        return Promise.resolve()
      },
    }
    this.#byPort.set(key, claims.add(claim))
    return { claim }
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- other stores answer later
  async holderOf(port: HostPort): Promise<Holder | undefined> {
    return this.#find(port)?.holder
  }

  #find(port: HostPort): Claim | undefined {
    for (const claim of this.#byPort.get(keyOf(port)) ?? []) {
      if (portsOverlap(claim, port)) return claim
    }
    return undefined
  }
}

function keyOf({ protocol, port }: HostPort): string {
  return `${port}/${protocol}`
}
