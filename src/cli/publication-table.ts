import type { DockerPortView, PortView, PublicationView } from '../controller/views.js'
import { REASONS } from '../linux/errno.js'
import { NO_BACKEND } from '../proxy/no-backend.js'
import { formatDuration } from '../duration.js'
import { formatPorts } from './ports-column.js'
import { formatSize } from './size.js'
import { formatTable } from './table.js'

/** A longer label error would push the other columns off the screen, characters. `inspect` has the whole text. */
const LONGEST_ERROR = 80
const HEADER = ['NAME', 'BACKEND', 'PORTS', 'STATUS', 'CONNECTIONS', 'UPTIME']
/** The header of `ls --all`. NET I/O is a title of `docker stats`. */
const HEADER_OF_ALL = [...HEADER.slice(0, -1), 'NET I/O', 'UPTIME']
/** Stands behind the name of a container whose ports dockerd has published, or for it if it is not known. */
const DOCKER = '(docker)'

/** The table of `ls`: a line for each publication. */
export function formatPublications(
  publications: readonly PublicationView[],
  now = Date.now(),
): string {
  return formatTable(
    HEADER,
    publications.map((publication) => [
      ...describe(publication),
      formatDuration(now - Date.parse(publication.created)),
    ]),
  )
}

/** The table of `ls --all`: also a line for each container with ports of dockerd. */
export function formatAll(
  publications: readonly PublicationView[],
  dockerPorts: readonly DockerPortView[],
  now = Date.now(),
): string {
  const ours = publications.map((publication) => [
    ...describe(publication),
    formatTraffic(publication.ports),
    formatDuration(now - Date.parse(publication.created)),
  ])
  const owners = new Map<string, DockerPortView[]>()
  for (const port of dockerPorts) {
    const key = port.service ?? port.container ?? port.containerIp
    const others = owners.get(key)
    if (others) others.push(port)
    else owners.set(key, [port])
  }
  const dockers = [...owners.values()].map((ports) => {
    const [first] = ports
    const address = first?.containerIp ?? ''
    const name = nameOfDocker(first)
    const since = Math.min(...ports.map((port) => Date.parse(port.since)))
    const isProxied = ports.some(({ pid }) => pid !== undefined)
    const connections = isProxied ? String(sum(ports.map((port) => port.connections))) : '-'
    return [
      ...[name, address, formatPorts(ports), formatDockerStatus(ports), connections],
      ...[formatTraffic(ports), formatDuration(now - since)],
    ]
  })
  return formatTable(HEADER_OF_ALL, [...ours, ...dockers])
}

/** `web_svr01 (docker)`, `shop-web-1 (docker, compose project shop)`, or `shop_web (docker, swarm service)`. */
function nameOfDocker({ container, project, service }: Partial<DockerPortView> = {}): string {
  if (service !== undefined) return `${service} (docker, swarm service)`
  const owner = project === undefined ? DOCKER : `(docker, compose project ${project})`
  return container === undefined ? owner : `${container} ${owner}`
}

function formatDockerStatus(ports: readonly DockerPortView[]): string {
  return ports.every(({ pid }) => pid === undefined) ? 'up, without a proxy' : formatUp(ports)
}

function describe(publication: PublicationView): string[] {
  const { name, ports } = publication
  const connections = sum(ports.map((port) => port.connections))
  return [
    ...[name, formatBackend(publication), formatPorts(ports)],
    ...[formatStatus(publication), String(connections)],
  ]
}

function clip(error: string): string {
  return error.length > LONGEST_ERROR ? `${error.slice(0, LONGEST_ERROR - 1)}…` : error
}

/** How clients on other hosts reach the container, unless it is by a proxy as usual. */
function formatVia({ via, ports, containerState = 'running' }: PublicationView): string {
  if (via === 'proxy' || containerState !== 'running') return ''
  if (!ports.some((port) => port.via === 'nat')) return ', via proxy: nat failed'
  const others = new Set(ports.filter((port) => port.via === 'proxy').map(({ hostIp }) => hostIp))
  if (others.size === 0) return ', via nat'
  return `, via nat (${[...others].map((ip) => (ip.includes(':') ? `[${ip}]` : ip)).join(', ')} via proxy)`
}

/** `172.17.0.2`, or `web_svr01 (172.17.0.2)` if a container is followed. A compose project is named unless the name shows it. */
export function formatBackend({ backend, container, project }: PublicationView): string {
  if (container === undefined) return backend
  const isShown = project === undefined || container.startsWith(project)
  const name = isShown ? container : `${container} of ${project}`
  return backend === '' ? name : `${name} (${backend})`
}

/** Bytes from and to clients, as `1.2kB / 3.4MB`; `-` unless all proxies report them. */
function formatTraffic(ports: readonly { bytesIn?: number; bytesOut?: number }[]): string {
  if (ports.length === 0 || ports.some(({ bytesIn }) => bytesIn === undefined)) return '-'
  const [bytesIn, bytesOut] = [
    sum(ports.map((port) => port.bytesIn ?? 0)),
    sum(ports.map((port) => port.bytesOut ?? 0)),
  ]
  return `${formatSize(bytesIn)} / ${formatSize(bytesOut)}`
}

type DialReport = Pick<PortView, 'recentFailedDials' | 'lastFailedDial'>

/** `up`, and what happens to dials of the backend. */
function formatUp(ports: readonly DialReport[]): string {
  const failed = sum(ports.map(({ recentFailedDials = 0 }) => recentFailedDials))
  if (failed === 0) return 'up'
  const reasons = ports.flatMap(({ lastFailedDial }) => lastFailedDial?.reason ?? [])
  const [reason = ''] = reasons
  // The container was stopped, and runs again.
  if (reasons.every((each) => each === NO_BACKEND)) return 'up'
  const what = reason === REASONS['ECONNREFUSED'] ? 'backend refuses' : `backend: ${reason}`
  return `up, ${what} (${failed} in 5 m)`
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** `up`, `up, via nat`, `up, backend refuses (312 in 5 m)`, `container stopped`, `label error: …`, or the state of the ports that are not up. */
export function formatStatus(publication: PublicationView): string {
  const { ports, containerState, labelError } = publication
  if (labelError !== undefined) return `label error: ${clip(labelError)}`
  return formatState(ports, containerState) + formatVia(publication)
}

/** The same without the way that connections take. */
export function formatState(
  ports: readonly PortView[],
  containerState: PublicationView['containerState'] = 'running',
): string {
  if (containerState !== 'running' && ports.every(({ state }) => ['up', 'closed'].includes(state)))
    return `container ${containerState}`
  const [worst, ...others] = ports.filter(({ state }) => state !== 'up')
  if (!worst) return formatUp(ports)
  // Why an earlier process ended says nothing about this one.
  if (worst.state === 'draining') return 'draining'
  const what = worst.state + (worst.restarts > 0 ? ` (${worst.restarts})` : '')
  const why = worst.reason === undefined ? '' : `: ${worst.reason}`
  const more = others.length > 0 ? ` and ${others.length} more` : ''
  return `${what}${why}${more}`
}
