import { parseIp } from '../linux/sockets/ip-address.js'
import type { Backends } from '../proxy/backends.js'

/** The current addresses of a publication's containers. Each of its proxies forwards to its own container port on them. */
export interface BackendList {
  /** Empty while no container runs. */
  readonly ips: readonly string[]
  /** Time that a new client waits while there is no address, milliseconds; 0 for a client that is refused at once. */
  readonly holdMs: number
}

/** The list that a proxy starts with, if it is not the container IP of its flags alone. */
export const BACKENDS_VARIABLE = 'DOCKER_PROXY_BACKENDS'

/** `HOLD_MS IP…`: the form of a list in orders and in the environment. */
export function formatBackendList({ ips, holdMs }: BackendList): string {
  return [holdMs, ...ips].join(' ')
}

/** @throws Error that quotes what is wrong */
export function parseBackendList(text: string): BackendList {
  const [time = '', ...words] = text.split(' ')
  const holdMs = Number(time)
  if (time === '' || !(holdMs >= 0)) throw new Error(`${JSON.stringify(time)} is not a time`)
  const ips = words.map((word) => {
    const ip = parseIp(word)
    if (ip === undefined) throw new Error(`${JSON.stringify(word)} is not an IP address`)
    return ip
  })
  return { ips, holdMs }
}

/** What the proxy of a container port forwards to. */
export function backendsOf({ ips, holdMs }: BackendList, containerPort: number): Backends {
  return { addresses: ips.map((ip) => ({ ip, port: containerPort })), holdMs }
}
