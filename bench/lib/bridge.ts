import { startHttp, untilHttp } from './backends.js'
import { output, stopChild, whileRunning } from './child.js'
import type { Peer } from './peer.js'
import { openNamespace, type Site } from './site.js'

const HOST = '10.9.0.1'
const CLIENT = '10.9.0.2'
const GATEWAY = '10.8.0.1'
const CONTAINER = '10.8.0.2'
const HTTP_PORT = 80
const PUBLISHED_PORT = 8080

/**
 * A host with a container behind a bridge, and a client outside:
 *
 *     client ──veth── host ── bridge ──veth── container
 */
export interface Bridge {
  readonly client: Site
  /** Publishes the container's HTTP server through a peer on the host, as long as the work takes. */
  publish<T>(peer: Peer, work: (address: { ip: string; port: number }) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** @throws Error for users other than root */
export async function openBridge(): Promise<Bridge> {
  const client = await openNamespace()
  const host = await openNamespace()
  const container = await openNamespace()
  const close = async (): Promise<void> => {
    await Promise.all([client, host, container].map((site) => site.close()))
  }
  const ip = async (site: Site, ...args: string[]): Promise<void> => {
    await output(site.load('ip', ...args))
  }
  const connect = async (other: typeof host, own: string, theirs: string): Promise<void> => {
    const netns = String(other.pid)
    await ip(host, 'link', 'add', own, 'type', 'veth', 'peer', 'name', theirs, 'netns', netns)
    await ip(host, 'link', 'set', own, 'up')
    await ip(other, 'link', 'set', theirs, 'up')
  }
  try {
    await connect(client, 'outside', 'eth0')
    await connect(container, 'veth0', 'eth0')
    await ip(host, 'link', 'add', 'bridge0', 'type', 'bridge')
    await ip(host, 'link', 'set', 'veth0', 'master', 'bridge0')
    await ip(host, 'link', 'set', 'bridge0', 'up')
    await ip(host, 'addr', 'add', `${HOST}/24`, 'dev', 'outside')
    await ip(host, 'addr', 'add', `${GATEWAY}/24`, 'dev', 'bridge0')
    await ip(client, 'addr', 'add', `${CLIENT}/24`, 'dev', 'eth0')
    await ip(container, 'addr', 'add', `${CONTAINER}/24`, 'dev', 'eth0')
    // The client must not run out of its own ports.
    const ports = 'echo "1024 65535" >ip_local_port_range; echo 1 >tcp_tw_reuse'
    await output(client.load('sh', '-ec', `cd /proc/sys/net/ipv4; ${ports}`))
  } catch (err) {
    await close()
    throw err
  }
  return {
    client,
    async publish(peer, work) {
      const server = startHttp(container, CONTAINER, HTTP_PORT)
      try {
        await untilHttp(host, CONTAINER, HTTP_PORT)
        const forward = { hostIp: HOST, port: PUBLISHED_PORT, containerIp: CONTAINER } as const
        const proxy = peer.start({ ...forward, protocol: 'tcp', backendPort: HTTP_PORT }, host)
        try {
          return await whileRunning(proxy ? [server, proxy] : [server], async () => {
            await untilHttp(client, HOST, PUBLISHED_PORT)
            return work({ ip: HOST, port: PUBLISHED_PORT })
          })
        } finally {
          if (proxy) await stopChild(proxy)
        }
      } finally {
        await stopChild(server)
      }
    },
    close,
  }
}
