import { createHash } from 'node:crypto'
import type { PortView, PublicationView } from '../../controller/views.js'
import { printable } from '../../printable.js'
import { formatDuration } from '../../duration.js'

/*
 * Publications in the form of containers, as the Engine API describes them. They are like containers that were started with `--rm`: one
 * that is stopped is gone.
 */

/** A container in a list of the Engine API. */
export interface ContainerSummary {
  readonly Id: string
  readonly Names: readonly string[]
  readonly State: string
  readonly Labels: Readonly<Record<string, string>>
  readonly Ports: readonly SummaryPort[]
}

interface SummaryPort {
  readonly IP: string
  readonly PrivatePort: number
  readonly PublicPort: number
  readonly Type: string
}

/** The id of a publication: 64 hexadecimal digits that belong to its name. */
export function containerId(name: string): string {
  return createHash('sha256').update(name).digest('hex')
}

/** @param now milliseconds since 1970 */
export function summarize(publication: PublicationView, now: number): ContainerSummary {
  const { name, created, ports } = publication
  const summary = {
    Id: containerId(name),
    Names: [`/${name}`],
    Image: imageOf(publication),
    ImageID: '',
    Command: commandOf(publication).join(' '),
    Created: Math.floor(Date.parse(created) / 1000),
    Ports: ports.filter(isPublished).map(({ protocol, hostIp, hostPort, containerPort }) => ({
      IP: hostIp,
      PrivatePort: containerPort,
      PublicPort: hostPort,
      Type: protocol,
    })),
    Labels: labelsOf(publication),
    State: stateOf(publication),
    Status: statusOf(publication, now),
    HostConfig: { NetworkMode: 'default' },
    NetworkSettings: { Networks: {} },
    Mounts: [],
  }
  return summary
}

/** The reply of an inspection. */
export function describe(publication: PublicationView): object {
  const { name, created, ports } = publication
  const [path = '', ...args] = commandOf(publication)
  const state = stateOf(publication)
  const bindings = bindingsOf(ports)
  const labels = labelsOf(publication)
  return {
    Id: containerId(name),
    Created: created,
    Path: path,
    Args: args,
    State: {
      ...{ Status: state, Running: state === 'running', Restarting: state === 'restarting' },
      ...{ Paused: false, OOMKilled: false, Dead: false, ExitCode: 0, Error: '' },
      ...{ Pid: ports[0]?.pid ?? 0, StartedAt: created, FinishedAt: '0001-01-01T00:00:00Z' },
    },
    Image: '',
    Name: `/${name}`,
    RestartCount: ports.reduce((sum, { restarts }) => sum + restarts, 0),
    Driver: '',
    Platform: 'linux',
    HostConfig: {
      ...{ NetworkMode: 'default', AutoRemove: true, PortBindings: bindings },
      RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    },
    Mounts: [],
    Config: {
      ...{ Hostname: '', Image: imageOf(publication), Labels: labels, Env: [] },
      ...{ Cmd: commandOf(publication), Entrypoint: null },
      ExposedPorts: Object.fromEntries(Object.keys(bindings).map((port) => [port, {}])),
    },
    NetworkSettings: { Ports: bindings, Networks: {} },
  }
}

/** A container that waits for its ports has none yet. */
function isPublished({ state }: PortView): boolean {
  return state !== 'waiting'
}

/** `running`, and otherwise the state whose word says best what happens to clients. */
function stateOf({ ports, labelError }: PublicationView): string {
  const states = new Set(ports.map(({ state }) => state))
  if (states.has('waiting') || labelError !== undefined) return 'created'
  if (states.has('restarting') || states.has('starting')) return 'restarting'
  if (states.has('closed') || states.has('stopped')) return 'exited'
  return 'running'
}

function statusOf(publication: PublicationView, now: number): string {
  const { created, containerState = 'running', ports } = publication
  const duration = formatDuration(now - Date.parse(created))
  switch (stateOf(publication)) {
    case 'created':
      return 'Created'
    case 'restarting':
      return `Restarting (${printable(reasonOf(ports))}) ${duration} ago`
    case 'exited':
      return `Exited (0) ${duration} ago`
    default:
      return `Up ${duration}${containerState === 'running' ? '' : ` (container ${containerState})`}`
  }
}

function reasonOf(ports: readonly PortView[]): string {
  return ports.find(({ reason }) => reason !== undefined)?.reason ?? 'starting'
}

/** The name of the container takes the place of an image. */
function imageOf({ container, backend }: PublicationView): string {
  return container ?? backend
}

function commandOf({ container, backend, via }: PublicationView): string[] {
  return ['docker-publish', 'add', ...(via === 'nat' ? ['--via', 'nat'] : []), container ?? backend]
}

function labelsOf({
  backend,
  container,
  isolation,
  via,
  whenStopped,
}: PublicationView): Record<string, string> {
  return {
    'docker-publish.backend': backend,
    ...(container === undefined ? {} : { 'docker-publish.container': container }),
    'docker-publish.isolation': isolation,
    'docker-publish.via': via,
    ...(whenStopped === undefined ? {} : { 'docker-publish.when-stopped': whenStopped }),
  }
}

/** `80/tcp`, and where it is published. */
function bindingsOf(
  ports: readonly PortView[],
): Record<string, { HostIp: string; HostPort: string }[]> {
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {}
  for (const { containerPort, protocol, hostIp, hostPort } of ports.filter(isPublished)) {
    const own = (bindings[`${containerPort}/${protocol}`] ??= [])
    own.push({ HostIp: hostIp, HostPort: String(hostPort) })
  }
  return bindings
}
