import { formatTarget } from '../docker/container-target.js'
import type { PortOptionTexts } from '../proxy/port-options.js'
import type { ProxyProgram } from '../supervisor/proxy-program.js'
import { checkOptions } from './publication-request.js'
import { RequestError } from './request-error.js'
import type { SavedPublication } from './saved-publication.js'

/** An option that open ports keep: the container has to expect it from the first byte of each connection. */
const FIXED = 'send-proxy'

/**
 * The options of a publication after a change. Those that are not named stay.
 * @throws RequestError if one is invalid, or can't change
 */
export function changedOptions(
  { name, options: before = {}, follows, via, ports }: SavedPublication,
  changes: PortOptionTexts,
  program: ProxyProgram,
): PortOptionTexts {
  if (Object.keys(changes).length === 0) {
    throw new RequestError('expected an option to change, for example max-connections')
  }
  if (follows?.labels !== undefined) {
    throw new RequestError(
      `the options of ${name} are labels of ${formatTarget(follows.target)}: recreate the container with other labels`,
    )
  }
  const { [FIXED]: wanted, ...others } = changes
  if (wanted !== undefined && wanted !== (before[FIXED] ?? 'off')) {
    throw new RequestError(
      `${FIXED} can't change while the port is open: withdraw ${name}, and add it again with the option`,
    )
  }
  const options = { ...before, ...others }
  const protocols = ports.map(({ protocol }) => protocol)
  return checkOptions({ options, ...(via ? { via } : {}) }, protocols, program)
}
