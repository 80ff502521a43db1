import type { ContainerPortView, ContainerView } from '../controller/container-view.js'
import { joinHostPort } from '../ports/host-port.js'
import { printable } from '../printable.js'
import { formatTable } from './table.js'

const HEADER = ['PORT', 'EXPOSED', 'PUBLISHED']

/** What a container exposes, and where it is published by whom: the answer to `add` without ports. */
export function reportContainer(container: ContainerView, program: string): string {
  const { name, state, why, addresses, ports } = container
  const where = addresses.length > 0 ? ` (${addresses.join(', ')})` : ''
  const title = printable(`${name}${where}: ${state === 'running' ? state : (why ?? state)}`)
  if (ports.length === 0) {
    return `${title}\nIts image exposes no ports. To publish one: ${program} add -p 8080:80 ${printable(name)}`
  }
  const rows = ports.map((port) => [
    `${port.port}/${port.protocol}`,
    port.isExposed ? 'yes' : 'no',
    formatPublished(port),
  ])
  const hint = ports.some(({ isMissing }) => isMissing)
    ? [`"docker restart ${printable(name)}" publishes the ports that are missing`]
    : []
  return [title, formatTable(HEADER, rows), ...hint].join('\n')
}

function formatPublished({ published, isMissing }: ContainerPortView): string {
  if (isMissing && published.length === 0) return 'missing: docker should publish it'
  if (published.length === 0) return '-'
  const owners = new Map<string, string[]>()
  for (const { hostIp, hostPort, publication = 'docker' } of published) {
    owners.set(publication, [...(owners.get(publication) ?? []), joinHostPort(hostIp, hostPort)])
  }
  return [...owners].map(([owner, addresses]) => `${addresses.join(', ')} by ${owner}`).join('; ')
}
