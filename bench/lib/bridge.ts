import { output, type Command } from './child.js'
import type { Forward } from './peer.js'
import { openNamespace, siteOf, type Namespace, type Site } from './site.js'

const HOST = '10.9.0.1'
const CLIENT = '10.9.0.2'
const GATEWAY = '10.8.0.1'
const CONTAINER = '10.8.0.2'

/** The rules of dockerd 28.5.2, with which the kernel also tracks all connections. A published port adds rules to both chains DOCKER. */
const RULES = `*filter
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i bridge0 -o bridge0 -j DROP
-A DOCKER-BRIDGE -o bridge0 -j DOCKER
-A DOCKER-CT -o bridge0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i bridge0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i bridge0 ! -o bridge0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o bridge0 -j DROP
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.8.0.0/24 ! -o bridge0 -j MASQUERADE
-A DOCKER -i bridge0 -j RETURN
COMMIT
`

/** dockerd's rules for a published port, as commands of iptables. */
export function dockerRules(
  { protocol, port, backendPort }: Forward,
  containerIp: string,
): string[] {
  const to = `${containerIp}:${backendPort}`
  return [
    `-I DOCKER -d ${containerIp} ! -i bridge0 -o bridge0 -p ${protocol} --dport ${backendPort} -j ACCEPT`,
    `-t nat -A DOCKER ! -i bridge0 -p ${protocol} --dport ${port} -j DNAT --to-destination ${to}`,
  ]
}

/** Where the load is: outside, in a network of its own, or on the host itself. */
export type ClientPlace = 'outside' | 'host'

/**
 * Makes a host with a container behind a bridge, and a client outside, each in a network namespace:
 *
 *     client ──veth── host ── bridge ──veth── container
 *
 * @param congestion the congestion control of all of them; by default the machine's
 * @throws Error for users other than root
 */
export async function openBridge(client: ClientPlace, congestion?: string): Promise<Site> {
  const opened: Namespace[] = []
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((namespace) => namespace.close()))
  }
  const open = async (): Promise<Namespace> => {
    const namespace = await openNamespace()
    opened.push(namespace)
    return namespace
  }
  try {
    const [outside, host, container] = [await open(), await open(), await open()]
    await connect(host, outside, 'outside')
    await connect(host, container, 'veth0')
    await ip(host, 'link', 'add', 'bridge0', 'type', 'bridge')
    await ip(host, 'link', 'set', 'veth0', 'master', 'bridge0')
    await ip(host, 'link', 'set', 'bridge0', 'up')
    await ip(host, 'addr', 'add', `${HOST}/24`, 'dev', 'outside')
    await ip(host, 'addr', 'add', `${GATEWAY}/24`, 'dev', 'bridge0')
    await ip(outside, 'addr', 'add', `${CLIENT}/24`, 'dev', 'eth0')
    await ip(container, 'addr', 'add', `${CONTAINER}/24`, 'dev', 'eth0')
    await ip(outside, 'route', 'add', 'default', 'via', HOST)
    await ip(container, 'route', 'add', 'default', 'via', GATEWAY)
    await set(host, 'net/ipv4/ip_forward', '1')
    const restore = 'printf %s "$1" | /usr/sbin/iptables-restore'
    await output(within(host, 'sh', '-ec', restore, 'sh', RULES))
    // Each has its own table of tracked connections, which ended ones must not fill.
    await set(host, 'net/netfilter/nf_conntrack_tcp_timeout_time_wait', '1')
    // The client must not run out of its own ports.
    await set(outside, 'net/ipv4/ip_local_port_range', '1024 65535')
    await set(outside, 'net/ipv4/tcp_tw_reuse', '1')
    for (const each of congestion === undefined ? [] : opened) {
      await set(each, 'net/ipv4/tcp_congestion_control', congestion ?? '')
    }
    const load = client === 'outside' ? outside : host
    const before = { proxy: host.prefix, load: load.prefix, backend: container.prefix }
    return siteOf(before, HOST, CONTAINER, close)
  } catch (err) {
    await close()
    throw err
  }
}

function within({ prefix }: Namespace, ...command: Command): Command {
  const [first = '', ...rest] = [...prefix, ...command]
  return [first, ...rest]
}

async function ip(namespace: Namespace, ...args: string[]): Promise<void> {
  await output(within(namespace, 'ip', ...args))
}

/** @param setting as its path in /proc/sys */
async function set(namespace: Namespace, setting: string, value: string): Promise<void> {
  const script = 'printf %s "$2" >"/proc/sys/$1"'
  await output(within(namespace, 'sh', '-ec', script, 'sh', setting, value))
}

/** @param own the host's end of the pair */
async function connect(host: Namespace, other: Namespace, own: string): Promise<void> {
  const netns = String(other.pid)
  await ip(host, 'link', 'add', own, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns)
  await ip(host, 'link', 'set', own, 'up')
  await ip(other, 'link', 'set', 'eth0', 'up')
}
