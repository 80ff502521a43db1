import { request, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'

/** Docker's socket, unless DOCKER_HOST names another one. */
const DEFAULT_HOST = 'unix:///var/run/docker.sock'
/** dockerd answers within this time, or the names are left out; milliseconds. */
const TIMEOUT_MS = 1_000

/** What is read of a running container. Source: ContainerList of Docker's Engine API. */
interface Container {
  /** Each name begins with a slash. */
  readonly Names: readonly string[]
  readonly NetworkSettings: {
    /** Addresses are empty if the container has none in the network. */
    readonly Networks: Readonly<
      Record<string, { readonly IPAddress: string; readonly GlobalIPv6Address: string }>
    >
  }
}

/**
 * Asks dockerd for the names of running containers, by their addresses.
 * @returns no names if dockerd can't be asked: none runs, its socket belongs to another user, or DOCKER_HOST is not a unix socket
 */
export async function containerNames(): Promise<ReadonlyMap<string, string>> {
  const host = process.env['DOCKER_HOST'] || DEFAULT_HOST
  const socketPath = /^unix:\/\/(.+)$/.exec(host)?.[1]
  if (socketPath === undefined) return new Map()
  try {
    return new Map((await fetchContainers(socketPath)).flatMap(namesOf))
  } catch {
    return new Map() // Names are a help, and not needed.
  }
}

/** The addresses of a container, each with its name. */
function namesOf({ Names, NetworkSettings }: Container): [string, string][] {
  const [name = ''] = Names
  return Object.values(NetworkSettings.Networks)
    .flatMap(({ IPAddress, GlobalIPv6Address }) => [IPAddress, GlobalIPv6Address])
    .filter((ip) => ip !== '')
    .map((ip) => [ip, name.replace(/^\//, '')])
}

/** Rejects if no list of containers comes in time. */
async function fetchContainers(socketPath: string): Promise<Container[]> {
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ socketPath, path: '/containers/json', signal, agent: false })
      .on('response', resolve)
      .on('error', reject)
      .end()
  })
  return (await json(response)) as Container[]
}
