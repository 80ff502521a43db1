import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { fetchPortStatuses } from '../../src/status/port-status.js'
import { connectNamespaces, startNamespace, type Namespace } from '../lib/namespace.js'
import { notRoot } from '../lib/program.js'
import { until } from '../lib/until.js'

/* What a network reports about a datagram ends no flow: the backend keeps seeing the same client. */

const skip = notRoot('to make network namespaces')
const PORT = 30_000
const CLIENT_PORT = 4_000
/** More than fits on the way, see `shrink`. */
const LARGE = 1_200

/** Replies with the sender's port. @param address argument 1 */
const MIRROR = `
const socket = require('node:dgram').createSocket('udp4')
socket.on('message', (_, from) => socket.send(String(from.port), from.port, from.address))
socket.bind(53, process.argv[1])`

/** Sends a datagram every now and then from the same port, until a reply comes, and prints it. @param size argument 1 */
const ASK = `
const socket = require('node:dgram').createSocket('udp4')
socket.on('message', (data) => { console.log(String(data)); process.exit() })
socket.bind(${CLIENT_PORT}, '127.0.0.1', () => {
  const send = () => socket.send(Buffer.alloc(Number(process.argv[1])), ${PORT}, '127.0.0.1')
  send()
  setInterval(send, 100)
})`

const nft = (host: Namespace, ...rules: string[]): Promise<void> =>
  host.sh(rules.map((rule) => `nft '${rule}'`).join('\n'))

/** What answers the proxy's datagrams instead of the backend. The kernel keeps other reports from sockets, see icmp_err_convert there. */
const REPORTS: Record<string, (router: Namespace) => Promise<void>> = {}
for (const type of [
  'port-unreachable',
  'prot-unreachable',
  'host-prohibited',
  'net-prohibited',
  'admin-prohibited',
]) {
  REPORTS[type] = (router) =>
    nft(
      router,
      'add table ip t',
      'add chain ip t c { type filter hook forward priority 0; }',
      `add rule ip t c udp dport 53 reject with icmp type ${type}`,
    )
}

for (const engine of ['native', 'streams']) {
  t.test(`reports of the network end no flow, ${engine}`, { skip }, async (t) => {
    const [host, router, container] = [
      await startNamespace(t),
      await startNamespace(t),
      await startNamespace(t),
    ]
    await connectNamespaces(host, router, 'v')
    await connectNamespaces(router, container, 'w')
    await host.sh('ip addr add 10.9.0.1/24 dev v0; ip route add 10.9.1.0/24 via 10.9.0.2')
    await router.sh('ip addr add 10.9.0.2/24 dev v1; ip addr add 10.9.1.1/24 dev w0')
    await router.sh('echo 1 >/proc/sys/net/ipv4/ip_forward')
    // Each report counts: the kernel sends few of them otherwise.
    await router.sh('echo 0 >/proc/sys/net/ipv4/icmp_ratelimit')
    await container.sh('ip addr add 10.9.1.2/24 dev w1; ip route add 10.9.0.0/24 via 10.9.1.1')
    container.node(MIRROR, '10.9.1.2').catch(() => undefined)
    await container.untilUdpBound(53)
    const folder = mkdtempSync(join(tmpdir(), 'status-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    const status = join(folder, 'socket')
    const env = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_STATUS_SOCKET: status }
    const backend = { ip: '10.9.1.2', port: 53 }
    await host.startProxy(backend, { port: PORT }, { env, protocol: 'udp' })
    const failedDials = async (): Promise<number> =>
      (await fetchPortStatuses(status))[0]?.failedDials ?? 0

    const before = await host.node(ASK, '1')
    for (const [type, report] of Object.entries(REPORTS)) {
      const failed = await failedDials()
      await report(router)
      const asking = host.node(ASK, '1')
      await until(async () => (await failedDials()) > failed)
      await nft(router, 'delete table ip t')
      t.equal(await asking, before, type)
    }

    const failed = await failedDials()
    await router.sh('ip link set w0 mtu 1000')
    t.equal(await host.node(ASK, String(LARGE)), before, 'fragmentation needed')
    t.ok((await failedDials()) > failed)
    const [port] = await fetchPortStatuses(status)
    t.equal(port?.accepted, 1)
  })
}
