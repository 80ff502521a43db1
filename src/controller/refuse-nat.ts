import { Refusal } from '../ports/refusal.js'
import { printable } from '../printable.js'

/**
 * @param why one clause; undefined if the kernel can translate the ports
 * @throws Refusal unless it is undefined
 */
export function refuseNat(why: string | undefined): void {
  if (why === undefined) return
  throw new Refusal(
    'nat-impossible',
    `nat does not work here: ${printable(why)}; publish via proxy instead`,
  )
}
