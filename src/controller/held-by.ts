import type { Holder } from '../ports/holder.js'

/** A reason for people, with the name of the port's holder if it has one. */
export function heldBy(reason: string, holder: Holder | undefined): string {
  const owner = holder ? nameOf(holder) : undefined
  return owner === undefined ? reason : `${reason} (held by ${owner})`
}

function nameOf(holder: Holder): string | undefined {
  switch (holder.kind) {
    case 'publication':
    case 'container':
    case 'service':
      return holder.name
    case 'process':
      return holder.publishes ?? `pid ${holder.pid}`
    default:
      return undefined
  }
}
