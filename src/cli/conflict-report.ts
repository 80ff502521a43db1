import type { Holder } from '../ports/holder.js'
import type { Refusal } from '../ports/refusal.js'
import type { Suggestions } from '../ports/suggestions.js'
import { printable } from '../printable.js'

/** Longer command lines are cut off, characters. */
const MAX_COMMAND = 160

/** A refusal for people: the line that scripts match, then the holder of the port and what works instead. */
export function reportRefusal({ message, details }: Refusal): string {
  const { holder, suggestions } = details
  const lines = [message]
  if (holder) lines.push(`  held by   ${printable(describeHolder(holder))}`)
  const free = suggestions && describeSuggestions(suggestions)
  if (free) lines.push(`  free      ${free}`)
  return lines.join('\n')
}

function describeHolder(holder: Holder): string {
  switch (holder.kind) {
    case 'publication': {
      const { container, project, backend: address } = holder
      const where = [container, inProject(project), address].filter(
        (part) => part !== undefined && part !== '',
      )
      const backend = where.length > 0 ? ` -> ${where.join(' ')}` : ''
      return `the publication ${holder.name} (${holder.address}${backend}), since ${formatTime(holder.since)}`
    }
    case 'container':
      return `the container ${named(holder.name, holder.project)} (${holder.address} -> ${holder.containerPort}), which Docker publishes without a proxy`
    case 'service':
      return `the swarm service ${holder.name} (${holder.address} -> ${holder.containerPort}), which Docker publishes without a proxy`
    case 'process': {
      const { pid, command, user, since, container, remote } = holder
      const details = [
        `pid ${pid}`,
        `user ${user}`,
        ...(since === undefined ? [] : [`since ${formatTime(since)}`]),
        ...(container === undefined ? [] : [`container ${container.slice(0, 12)}`]),
        ...publishedPort(holder),
      ]
      return `${shorten(command)} (${details.join(', ')}) on ${holder.address}${connection(remote)}`
    }
    case 'unknown': {
      const isRoot = process.getuid?.() === 0
      const place = `${holder.address}${connection(holder.remote)}`
      return isRoot
        ? `a socket of user ${holder.user} on ${place} without a process here: it belongs to the kernel, or to a process in another PID namespace`
        : `a process of another user (${holder.user}) on ${place}; run as root to see which`
    }
    case 'closed-connection':
      return `a closed connection on ${holder.address}${connection(holder.remote)}: the kernel frees the port within about a minute`
    case 'unlisted':
      return `a socket on ${holder.address} that is bound and does not listen: the kernel does not tell whose it is`
  }
}

/** Whose port dockerd has published. */
function publishedPort({
  publishes,
  project,
  service,
  backend,
}: Extract<Holder, { kind: 'process' }>): string[] {
  const owner = [
    ...(publishes === undefined ? [] : [`the container ${named(publishes, project)}`]),
    ...(service === undefined ? [] : [`the swarm service ${service}`]),
  ]
  const parts = [...owner, ...(backend === undefined ? [] : [backend])]
  return parts.length > 0 ? [`a published port of ${parts.join(', ')}`] : []
}

/** A container, and its compose project. */
function named(container: string, project: string | undefined): string {
  return [container, inProject(project)].filter((part) => part !== undefined).join(' ')
}

function inProject(project: string | undefined): string | undefined {
  return project === undefined ? undefined : `of the compose project ${project}`
}

/** The other end of a connection that occupies a port. */
function connection(remote: string | undefined): string {
  return remote === undefined ? '' : `, connected to ${remote}`
}

function describeSuggestions({ ports, address }: Suggestions): string {
  const parts = [
    ...(ports.length > 0 ? [`the port${ports.length > 1 ? 's' : ''} ${ports.join(', ')}`] : []),
    ...(address === undefined ? [] : [`this port on ${address}`]),
  ]
  return parts.join('; ')
}

/** Puts a command on one line, in printable form, and cuts a long one off. */
function shorten(command: string): string {
  const line = printable(command.replace(/\s+/g, ' ').trim())
  return line.length > MAX_COMMAND ? `${line.slice(0, MAX_COMMAND)}…` : line
}

/** Local time to the second. */
function formatTime(iso: string): string {
  return new Date(iso).toLocaleString('sv-SE')
}
