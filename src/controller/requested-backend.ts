import { realpathSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Container } from '../docker/container.js'
import {
  findTarget,
  formatTarget,
  NoSuchContainerError,
  targetOf,
  type ContainerTarget,
} from '../docker/container-target.js'
import type { Containers } from '../docker/containers.js'
import { EngineHostError, formatEngineHost } from '../docker/engine-host.js'
import { resolveTarget } from '../docker/target-backends.js'
import { errnoReason } from '../linux/errno.js'
import { parseIp } from '../linux/sockets/ip-address.js'
import { Refusal } from '../ports/refusal.js'
import type { ListedBackend } from '../status/backend-list.js'
import { printable } from '../printable.js'
import type { Following } from './following.js'
import { listBackends } from './listed-backends.js'
import { parseBackend, type PublicationRequest } from './publication-request.js'
import { RequestError } from './request-error.js'
import { isBehindBridge } from './translated-ports.js'

/** How long a request waits for a new list of the containers, milliseconds. */
const LIST_MS = 1_000

/** Where a requested publication forwards to. */
export interface RequestedBackend {
  readonly backends: readonly ListedBackend[]
  readonly follows?: Following
}

/**
 * Finds where a requested publication forwards to. An address that belongs to a container stands for the container.
 * @param containers undefined if no engine is followed
 * Rejects with RequestError, or with Refusal if there is no such container, or this host does not reach it.
 */
export async function findBackend(
  request: PublicationRequest,
  containers: Containers | undefined,
): Promise<RequestedBackend> {
  const { backend, container } = request
  if ((backend === undefined) === (container === undefined)) {
    throw new RequestError('expected either a container or a backend, the address of one')
  }
  if (container !== undefined) {
    if (request.addressOnly) {
      throw new RequestError(
        `${JSON.stringify(container)} is the name of a container, and --address-only needs an IP address`,
      )
    }
    refuseOtherEngine(request.engine, containers)
    const { target, all } = await lookUpTarget(container, containers)
    return follow(target, request, all)
  }
  const ip = parseBackend(backend ?? '')
  const owner = request.addressOnly ? undefined : await ownerOf(ip, containers)
  if (!owner || !containers) {
    refuseOptionsOfContainers(ip, request)
    return { backends: [{ ip }] }
  }
  const network = owner.networks.find((each) => each.ip === ip || each.ip6 === ip)?.name
  return follow(
    targetOf(owner),
    { ...request, ...(network === undefined ? {} : { network }) },
    containers,
  )
}

/** The running container that has an address. */
async function ownerOf(
  ip: string,
  containers: Containers | undefined,
): Promise<Container | undefined> {
  const owner = containers?.runningOn(ip)
  if (owner || !containers || !isBehindBridge(ip)) return owner
  await listAgain(containers)
  return containers.runningOn(ip)
}

/** Asks the engine, whose events come a moment after its commands have ended. Never rejects. */
async function listAgain(containers: Containers): Promise<void> {
  await Promise.race([containers.listAgain(), delay(LIST_MS, undefined, { ref: false })])
}

/** @throws RequestError for options that have no effect on a publication that keeps its address */
function refuseOptionsOfContainers(
  ip: string,
  { network, whenStopped = 'refuse', keep = false }: PublicationRequest,
): void {
  const option =
    (network !== undefined && '--network') ||
    (whenStopped !== 'refuse' && '--when-stopped') ||
    (keep && '--keep')
  if (!option) return
  throw new RequestError(
    `${option} is for containers, and no container is followed at ${ip}: leave the option out, or name a container`,
  )
}

/** A name means the container of the client's engine. @throws Refusal if the daemon follows another one */
function refuseOtherEngine(engine: string | undefined, containers: Containers | undefined): void {
  if (engine === undefined || !containers) return
  const own = formatEngineHost(containers.host)
  if (canonical(engine) === canonical(own)) return
  throw new Refusal(
    'other-engine',
    `the daemon follows the containers of ${own}, but DOCKER_HOST or the docker context names ${printable(engine)}: unset them, or start the daemon with DOCKER_HOST=${printable(engine)}`,
  )
}

/** One socket may have several paths, as /run and /var/run. */
function canonical(engine: string): string {
  const path = /^unix:\/\/(.+)$/.exec(engine)?.[1]
  if (path === undefined) return engine
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/**
 * Finds a container by its name, id or address, or a compose service by its name.
 * @returns the target, and the containers of the engine
 * Rejects with RequestError without an engine, and with Refusal if it does not answer, or knows no such container.
 */
export async function lookUpTarget(
  name: string,
  containers: Containers | undefined,
): Promise<{ target: ContainerTarget; all: Containers }> {
  if (!containers) {
    throw new RequestError(
      `${JSON.stringify(name)} is no IP address, and names of containers need docker-publish daemon`,
    )
  }
  if (name.trim() === '') throw new RequestError('expected the name of a container, and not ""')
  try {
    await containers.ready()
  } catch (err) {
    // An engine that can't be used says itself what would work.
    const advice =
      err instanceof EngineHostError ? '' : '; start the Docker Engine, or give an IP address'
    throw new Refusal(
      'no-engine',
      `can't look up the container ${JSON.stringify(name)}: ${errnoReason(err)}${advice}`,
    )
  }
  const ip = parseIp(name)
  const owner = ip === undefined ? undefined : await ownerOf(ip, containers)
  if (owner) return { target: targetOf(owner), all: containers }
  const find = (): { target: ContainerTarget; all: Containers } => ({
    target: findTarget(name, containers.all),
    all: containers,
  })
  try {
    return find()
  } catch (err) {
    if (!(err instanceof NoSuchContainerError)) throw err
  }
  try {
    await listAgain(containers)
    return find()
  } catch (err) {
    if (!(err instanceof NoSuchContainerError)) throw err
    throw new Refusal('no-such-container', err.message)
  }
}

/** Rejects with Refusal if this host does not reach the container. */
async function follow(
  target: ContainerTarget,
  { network, whenStopped = 'refuse', keep = false }: PublicationRequest,
  containers: Containers,
): Promise<RequestedBackend> {
  const follows: Following = {
    target,
    ...(network === undefined ? {} : { network }),
    ...{ whenStopped, keep },
  }
  let found = resolveTarget(follows, containers)
  if (found.state === 'unreachable') {
    // It may have been connected to another network a moment ago.
    await listAgain(containers)
    found = resolveTarget(follows, containers)
  }
  const { state, why } = found
  if (state === 'unreachable') {
    throw new Refusal('container-unreachable', why ?? `${formatTarget(target)} is not reachable`)
  }
  return { backends: listBackends(found), follows }
}
