import { distance } from 'fastest-levenshtein'
import { printable } from '../printable.js'
import type { Container } from './container.js'

/** One container: whatever happens to it, and its successor if compose recreates it. */
export interface SingleTarget {
  readonly kind: 'container'
  readonly id: string
  readonly name: string
  /** Its place in a compose project, where its successor appears. */
  readonly compose?: { readonly project: string; readonly service: string; readonly number: number }
}

/** All replicas of a compose service. */
interface ServiceTarget {
  readonly kind: 'service'
  readonly project: string
  readonly service: string
}

/** What a publication follows. */
export type ContainerTarget = SingleTarget | ServiceTarget

/** No container has this name. The message names similar ones. */
export class NoSuchContainerError extends Error {
  override readonly name = 'NoSuchContainerError'
}

/** Names in a message. */
const MAX_NAMES = 3
/** Names are similar if at most this share of the letters differs. */
const SIMILAR_SHARE = 0.4

/** The name of a target in tables and messages. */
export function formatTarget(target: ContainerTarget): string {
  return target.kind === 'service' ? `${target.project}/${target.service}` : target.name
}

/** The compose project of a target. */
export function projectOf(target: ContainerTarget): string | undefined {
  return target.kind === 'service' ? target.project : target.compose?.project
}

/** A target that follows this container. */
export function targetOf({ id, name, compose }: Container): SingleTarget {
  if (!compose || compose.isOneOff) return { kind: 'container', id, name }
  const { project, service, number } = compose
  return { kind: 'container', id, name, compose: { project, service, number } }
}

/**
 * Finds a container as the docker command does: by its id, its name, or the beginning of its id; else a compose service as
 * `PROJECT/SERVICE`.
 * @throws NoSuchContainerError
 */
export function findTarget(text: string, containers: readonly Container[]): ContainerTarget {
  const name = text.replace(/^\//, '')
  const exact = containers.find((each) => each.id === text || each.name === name)
  if (exact) return targetOf(exact)
  const byPrefix = /^[0-9a-f]+$/.test(text)
    ? containers.filter(({ id }) => id.startsWith(text))
    : []
  if (byPrefix.length > 1) {
    const names = byPrefix.map((each) => each.name).join(', ')
    throw new NoSuchContainerError(
      `${JSON.stringify(text)} is the beginning of several ids: ${printable(names)}`,
    )
  }
  if (byPrefix[0]) return targetOf(byPrefix[0])
  const [project = '', service = '', ...more] = text.split('/')
  if (more.length === 0 && service !== '') {
    const target: ServiceTarget = { kind: 'service', project, service }
    if (containers.some((each) => isReplica(each, target))) return target
  }
  throw new NoSuchContainerError(
    `no such container: ${printable(text)}${similarNames(text, containers)}`,
  )
}

/**
 * The containers of a target that exist now: running ones and others.
 * @param byName whether another container of the same name takes the place of one that was removed
 */
export function containersOf(
  target: ContainerTarget,
  containers: readonly Container[],
  byName: boolean,
): readonly Container[] {
  if (target.kind === 'service') {
    // In a fixed order, because another order would count as a change.
    return containers
      .filter((each) => isReplica(each, target))
      .sort((a, b) => (a.compose?.number ?? 0) - (b.compose?.number ?? 0))
  }
  const same = containers.find(({ id }) => id === target.id)
  if (same) return [same]
  const { compose } = target
  // While compose recreates a container, the new one has the old one's place already.
  const successor = containers.find((each) =>
    compose
      ? isReplica(each, compose) && each.compose?.number === compose.number
      : byName && each.name === target.name,
  )
  return successor ? [successor] : []
}

function isReplica(
  { compose }: Container,
  { project, service }: { readonly project: string; readonly service: string },
): boolean {
  return compose?.project === project && compose.service === service && !compose.isOneOff
}

function similarNames(text: string, containers: readonly Container[]): string {
  const names = containers.flatMap(({ name, compose }) => [
    name,
    ...(compose ? [`${compose.project}/${compose.service}`] : []),
  ])
  if (names.length === 0) return ' (there are no containers)'
  const different = [...new Set(names)]
  // The name of a service without its project.
  const services = different.filter((name) => name.endsWith(`/${text}`))
  const similar = different
    .filter((name) => distance(name, text) <= SIMILAR_SHARE * Math.max(name.length, text.length))
    .sort((a, b) => distance(a, text) - distance(b, text))
  const shown = [...new Set([...services, ...similar])].slice(0, MAX_NAMES)
  if (shown.length > 0) return ` (did you mean ${printable(shown.join(', '))}?)`
  const more = different.length > MAX_NAMES ? ', …' : ''
  return ` (there are ${printable(different.slice(0, MAX_NAMES).join(', '))}${more})`
}
