import { addressOf } from './container-address.js'
import { containersOf, type ContainerTarget } from './container-target.js'
import type { Container } from './container.js'
import type { Containers } from './containers.js'

/** What a target is at present. */
export interface TargetState {
  /** `missing`: no container of it exists. `unreachable`: it runs, and this host does not reach it. */
  readonly state: 'running' | 'stopped' | 'missing' | 'unreachable'
  /** Why no client gets through; undefined if the state is `running`. */
  readonly why?: string
  /** The container that a single target follows now, with its current name. */
  readonly container?: Container
  /** The addresses of running containers. */
  readonly backends: readonly TargetBackend[]
}

/** A running container of a target. */
interface TargetBackend {
  readonly ip: string
  readonly network: string
  readonly container: Container
}

/** How a target is followed. */
interface TargetChoice {
  readonly target: ContainerTarget
  /** Name of the network in which its containers are reached; undefined for any. */
  readonly network?: string
  /** Whether a container of the same name takes the place of one that was removed. */
  readonly keep: boolean
}

/**
 * Finds the containers of a target, and their addresses.
 * @param present addresses that clients are forwarded to so far
 */
export function resolveTarget(
  { target, network, keep }: TargetChoice,
  { all, networks, byId }: Pick<Containers, 'all' | 'networks' | 'byId'>,
  present: readonly string[] = [],
): TargetState {
  const found = containersOf(target, all, keep)
  const [first] = found
  if (!first) return { state: 'missing', why: 'the container was removed', backends: [] }
  const container = target.kind === 'container' ? { container: first } : {}
  const running = found.filter(({ isRunning }) => isRunning)
  if (running.length === 0) {
    return { state: 'stopped', why: 'the container is stopped', ...container, backends: [] }
  }
  const addresses = running.map((each) => ({
    container: each,
    address: addressOf(networkOwner(each, byId), networks, network, present),
  }))
  const backends = addresses.flatMap(({ container: each, address }) =>
    address.ip === undefined ? [] : { ip: address.ip, network: address.network, container: each },
  )
  if (backends.length > 0) return { state: 'running', ...container, backends }
  const why = addresses.find(({ address }) => address.why !== undefined)?.address.why ?? ''
  return { state: 'unreachable', why, ...container, backends }
}

/** The container whose network a container uses: itself, unless it was made with `--network container:ID`. */
function networkOwner(container: Container, byId: Containers['byId']): Container {
  const id = /^container:(.+)$/.exec(container.networkMode)?.[1]
  return (id === undefined ? undefined : byId(id)) ?? container
}
