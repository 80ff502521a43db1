import type { PortView, PublicationView } from '../controller/api/types.js'
import { formatDuration } from './duration.js'
import { formatPorts } from './ports-column.js'
import { formatTable } from './table.js'

const HEADER = ['NAME', 'BACKEND', 'PORTS', 'STATUS', 'CONNECTIONS', 'UPTIME']

/** `docker-publish ls`: a line for each publication. */
export function formatPublications(
  publications: readonly PublicationView[],
  now = Date.now(),
): string {
  return formatTable(
    HEADER,
    publications.map(({ name, backend, created, ports }) => [
      name,
      backend,
      formatPorts(ports),
      formatStatus(ports),
      String(ports.reduce((sum, port) => sum + port.connections, 0)),
      formatDuration(now - Date.parse(created)),
    ]),
  )
}

/** `up`, or what is the matter with the ports that are not. */
export function formatStatus(ports: readonly PortView[]): string {
  const [worst, ...others] = ports.filter(({ state }) => state !== 'up')
  if (!worst) return 'up'
  const what = worst.state + (worst.restarts > 0 ? ` (${worst.restarts})` : '')
  const why = worst.reason === undefined ? '' : `: ${worst.reason}`
  const more = others.length > 0 ? ` and ${others.length} more` : ''
  return `${what}${why}${more}`
}
