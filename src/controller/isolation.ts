import type { ProxyProgram } from '../supervisor/proxy-program.js'
import { RequestError } from './request-error.js'

/** How ports can be served: each by a process of its own, all ports of a publication by one process, or `auto`: by their number. */
export const ISOLATION_CHOICES = ['auto', 'process', 'shared'] as const
export type IsolationChoice = (typeof ISOLATION_CHOICES)[number]

/** How the ports of a publication are served. */
export type Isolation = Exclude<IsolationChoice, 'auto'>

/** With `auto`, up to this many ports have a process each. */
export const MAX_PORTS_WITH_PROCESSES = 16

/**
 * Decides whether one process serves all ports of a publication.
 * @throws RequestError if that is requested and impossible
 */
export function isShared(
  isolation: IsolationChoice,
  ports: number,
  { isOurs, path }: ProxyProgram,
): boolean {
  if (isolation === 'shared' && !isOurs) {
    throw new RequestError(
      `isolation "shared" is not possible with ${path}, which serves one port: use "process", or start the daemon without --proxy-path`,
    )
  }
  return (
    isolation === 'shared' || (isolation === 'auto' && isOurs && ports > MAX_PORTS_WITH_PROCESSES)
  )
}
