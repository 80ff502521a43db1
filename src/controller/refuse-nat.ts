import { Refusal } from '../ports/refusal.js'
import { printable } from '../printable.js'

/** @param why one clause: why the kernel can't translate the ports */
export function natRefusal(why: string, options?: ErrorOptions): Refusal {
  const message = `nat does not work here: ${printable(why)}; publish via proxy instead`
  return new Refusal('nat-impossible', message, {}, options)
}

/**
 * @param why undefined if the kernel can translate the ports
 * @throws Refusal unless it is undefined
 */
export function refuseNat(why: string | undefined): void {
  if (why !== undefined) throw natRefusal(why)
}
