import type { ProcessIdentity } from '../linux/proc/process-identity.js'
import { parseIp } from '../linux/sockets/ip-address.js'
import type { Backends } from '../proxy/backends.js'

/** The address of a container. */
export interface ListedBackend {
  readonly ip: string
  /** The first process of the container. When it ends, the address may go to another container. */
  readonly process?: ProcessIdentity
}

/** The current addresses of a publication's containers. Each of its proxies forwards to its own container port on them. */
export interface BackendList {
  /** Empty while no container runs. */
  readonly backends: readonly ListedBackend[]
  /** Time that a new client waits while there is no address, milliseconds; 0 for a client that is refused at once. */
  readonly holdMs: number
}

/** The list that a proxy starts with, if it is not the container IP of its flags alone. */
export const BACKENDS_VARIABLE = 'DOCKER_PROXY_BACKENDS'

/** `HOLD_MS IP[@PID/START_TIME]…`: the form of a list in orders and in the environment. */
export function formatBackendList({ backends, holdMs }: BackendList): string {
  const words = backends.map(({ ip, process }) =>
    process ? `${ip}@${process.pid}/${process.startTime}` : ip,
  )
  return [holdMs, ...words].join(' ')
}

/** @throws Error that quotes what is wrong */
export function parseBackendList(text: string): BackendList {
  const [time = '', ...words] = text.split(' ')
  const holdMs = Number(time)
  if (time === '' || !(holdMs >= 0)) throw new Error(`${JSON.stringify(time)} is not a time`)
  return { backends: words.map(parseBackend), holdMs }
}

function parseBackend(word: string): ListedBackend {
  const [, address = '', pid, startTime] = /^([^@]*)(?:@(\d+)\/(\d+))?$/.exec(word) ?? []
  const ip = parseIp(address)
  if (ip === undefined) throw new Error(`${JSON.stringify(word)} is not an IP address`)
  if (pid === undefined) return { ip }
  return { ip, process: { pid: Number(pid), startTime: Number(startTime) } }
}

/** What the proxy of a container port forwards to. */
export function backendsOf({ backends, holdMs }: BackendList, containerPort: number): Backends {
  return { addresses: backends.map(({ ip }) => ({ ip, port: containerPort })), holdMs }
}
