import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { fetchPortStatuses } from '../../src/status/port-status.js'
import { connectNamespaces, startNamespace, type Namespace } from '../lib/namespace.js'
import { notRoot, PROGRAM, proxyFlags } from '../lib/program.js'
import { PUBLISH } from '../lib/publish.js'
import { until } from '../lib/until.js'

/* Networks that a test can't have on the host's loopback interface. */

const skip = notRoot('to make network namespaces')
const PORT = 30_000

/** Opens connections one after the other, and prints how many got data. @param port argument 1 @param count argument 2 */
const COUNT_REPLIES = `
const net = require('node:net')
let replies = 0
const next = (left) => {
  if (left === 0) return console.log(replies)
  const socket = net.connect(Number(process.argv[1]), '127.0.0.1', () => socket.end('x'))
  socket.on('data', () => replies++)
  socket.on('error', () => undefined)
  socket.on('close', () => next(left - 1))
}
next(Number(process.argv[2]))`

/** Echoes datagrams with the sender's port. @param address argument 1 @param port argument 2 */
const UDP_MIRROR = `
const [, ip, port] = process.argv
const socket = require('node:dgram').createSocket(ip.includes(':') ? 'udp6' : 'udp4')
socket.on('message', (_, from) => socket.send(String(from.port), from.port, from.address))
socket.bind(Number(port), ip)`

/** Sends a datagram until a reply comes, and prints it. @param from argument 1 @param to argument 2 @param port argument 3 */
const UDP_ASK = `
const [, from, to, port] = process.argv
const socket = require('node:dgram').createSocket(to.includes(':') ? 'udp6' : 'udp4')
socket.on('message', (data) => { console.log(String(data)); process.exit() })
socket.bind(from.includes(',') ? Number(from.split(',')[1]) : 0, from.split(',')[0], () => {
  socket.setBroadcast(true)
  const send = () => socket.send('x', Number(port), to)
  send()
  setInterval(send, 500)
})`

/** Becomes the parent of a docker-proxy that gets a bound UDP socket of both families. @param engine argument 1 @param command the others */
const HAND_OVER = `
const [, engine, program, ...args] = process.argv
const socket = require('node:dgram').createSocket({ type: 'udp6', ipv6Only: false })
socket.bind(${PORT}, '::', () => {
  const handle = socket[Object.getOwnPropertySymbols(socket).find((s) => s.description === 'state symbol')].handle
  handle.recvStop() // The datagrams are for the program.
  const stdio = ['ignore', 'inherit', 'inherit', 'ignore', handle.fd]
  const env = { ...process.env, DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_ON_DEMAND: 'no' }
  // It ends with this parent.
  const command = ['--pdeathsig', 'KILL', program, ...args]
  require('node:child_process').spawn('setpriv', command, { stdio, env })
})`

/** Where a docker-proxy reports its connections. A test's own folder may have too long a path for a socket. */
function statusPath(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'status-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return join(folder, 'socket')
}

/** Accepts connections, reads them to the end, and never ends them. @param port argument 1 */
const PATIENT_BACKEND = `
const server = require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  socket.resume().on('error', () => undefined)
})
server.listen(Number(process.argv[1]), '127.0.0.1')`

/** Half-closes a connection, and cuts its own link once the other end has acknowledged that. @param address argument 1 @param port argument 2 */
const VANISHING_CLIENT = `
const [, host, port] = process.argv
const FIN_WAIT2 = / 05 /
const socket = require('node:net').connect({ host, port, allowHalfOpen: true }, () => socket.end('x'))
socket.resume()
const look = () => {
  if (!FIN_WAIT2.test(require('node:fs').readFileSync('/proc/net/tcp', 'utf8'))) return setImmediate(look)
  require('node:child_process').execFileSync('ip', ['link', 'set', 'v1', 'down'])
}
look()`

/** Connects two namespaces, 10.9.0.1 and 10.9.0.2, by a link that is slow towards the second one. */
async function connectSlowly(a: Namespace, b: Namespace): Promise<void> {
  await connectNamespaces(a, b, 'v')
  await a.sh('ip addr add 10.9.0.1/24 dev v0')
  await b.sh('ip addr add 10.9.0.2/24 dev v1')
  await a.sh('tc qdisc add dev v0 root tbf rate 1mbit burst 4kb limit 10mb')
}

/** Whether a port has dropped datagrams, because its queue was full, and has counted them. */
async function hasDropped(status: string): Promise<boolean> {
  const [port] = await fetchPortStatuses(status)
  return (port?.dropped ?? 0) > 0
}

for (const engine of ['native', 'streams'] as const) {
  const env = { DOCKER_PROXY_ENGINE: engine }

  t.test(`a dial never connects to itself, ${engine}`, { skip }, async (t) => {
    const host = await startNamespace(t)
    // The kernel prefers even ports, so every few dials get the port of the backend as their own.
    await host.sh('echo "40000 40007" >/proc/sys/net/ipv4/ip_local_port_range')
    // With timestamps the proxy chooses the ports.
    await host.sh('echo 0 >/proc/sys/net/ipv4/tcp_timestamps')
    await host.startProxy({ ip: '127.0.0.1', port: 40_002 }, { port: PORT }, { env })
    t.equal(await host.node(COUNT_REPLIES, String(PORT), '200'), '0')
  })

  t.test(`datagrams wait for a slow link, ${engine}`, { skip }, async (t) => {
    const [host, container] = [await startNamespace(t), await startNamespace(t)]
    await connectNamespaces(host, container, 'v')
    await host.sh('ip addr add 10.9.0.1/24 dev v0')
    await container.sh('ip addr add 10.9.0.2/24 dev v1')
    // The limit is above the socket's send buffer, so the socket and not the link refuses more. The link is twice as slow as the client.
    await host.sh('tc qdisc add dev v0 root tbf rate 1mbit burst 4kb limit 10mb')
    await host.startProxy({ ip: '10.9.0.2', port: 53 }, { port: PORT }, { env, protocol: 'udp' })
    const count = container.node(`
      const socket = require('node:dgram').createSocket({ type: 'udp4', recvBufferSize: 4e6 })
      let count = 0
      socket.on('message', () => { if (++count === 250) { console.log(count); process.exit() } })
      socket.bind(53, '10.9.0.2')`)
    await container.untilUdpBound(53)
    await host.node(`
      const socket = require('node:dgram').createSocket('udp4')
      let left = 250
      const timer = setInterval(() => {
        const isLast = --left === 0
        socket.send(Buffer.alloc(1400), ${PORT}, '127.0.0.1', () => isLast && socket.close())
        if (isLast) clearInterval(timer)
      }, 5)`)
    t.equal(await count, '250')
  })

  t.test(`UDP on all addresses replies whatever was asked, ${engine}`, { skip }, async (t) => {
    const [host, client] = [await startNamespace(t), await startNamespace(t)]
    await connectNamespaces(host, client, 'v')
    await host.sh('ip addr add fd00::1/64 dev v0 nodad')
    await client.sh('ip addr add fd00::2/64 dev v1 nodad')
    await host.sh('ip addr add fe80::a/64 dev v0 nodad')
    await client.sh('ip addr add fe80::b/64 dev v1 nodad')
    host.node(UDP_MIRROR, '::1', '53').catch(() => undefined)
    await host.untilUdpBound(53)
    const backend = { ip: '::1', port: 53 }
    await host.startProxy(backend, { ip: '::', port: PORT }, { env, protocol: 'udp' })
    for (const [from, to] of [
      ['fd00::2', 'fd00::1'],
      ['fe80::b%v1', 'fe80::a%v1'],
      ['fe80::b%v1', 'ff02::1%v1'],
      ['fd00::2', 'ff02::1%v1'],
      ['fd00::2', 'fe80::a%v1'],
    ] as const) {
      const reply = await client.node(UDP_ASK, from, to, String(PORT))
      t.match(reply, /^\d+$/, `from ${from} to ${to}`)
    }
  })
}

t.test('a half-closed client that vanishes is given up, streams', { skip }, async (t) => {
  const [host, client] = [await startNamespace(t), await startNamespace(t)]
  await connectNamespaces(host, client, 'v')
  await host.sh('ip addr add 10.9.0.1/24 dev v0')
  await client.sh('ip addr add 10.9.0.2/24 dev v1')
  host.node(PATIENT_BACKEND, '4000').catch(() => undefined)
  await host.untilListening(4000)
  const status = statusPath(t)
  const env = { DOCKER_PROXY_ENGINE: 'streams', DOCKER_PROXY_STATUS_SOCKET: status }
  const proxy = { ip: '10.9.0.1', port: PORT }
  await host.startProxy({ ip: '127.0.0.1', port: 4000 }, proxy, { env })
  client.node(VANISHING_CLIENT, proxy.ip, String(PORT)).catch(() => undefined)
  const hasConnections = async (count: number): Promise<boolean> => {
    const [port] = await fetchPortStatuses(status)
    return port?.active === count
  }
  await until(() => hasConnections(1))
  await until(() => hasConnections(0))
})

/** Sends datagrams without end: how many of a number would get as far as a queue depends on the machine. */
const FLOOD = `
const flood = (socket, port, address) => {
  const send = () => socket.send(Buffer.alloc(1_400), port, address, () => setImmediate(send))
  send()
}`

t.test('a slow client does not fill the memory of the streams engine', { skip }, async (t) => {
  const [host, client] = [await startNamespace(t), await startNamespace(t)]
  await connectSlowly(host, client)
  const flood = `${FLOOD}
    const socket = require('node:dgram').createSocket('udp4')
    socket.once('message', (_, { port, address }) => flood(socket, port, address))
    socket.bind(53, '127.0.0.1')`
  host.node(flood).catch(() => undefined)
  await host.untilUdpBound(53)
  const status = statusPath(t)
  const env = { DOCKER_PROXY_ENGINE: 'streams', DOCKER_PROXY_STATUS_SOCKET: status }
  const proxy = { ip: '10.9.0.1', port: PORT }
  await host.startProxy({ ip: '127.0.0.1', port: 53 }, proxy, { env, protocol: 'udp' })
  await client.node(UDP_ASK, '10.9.0.2', proxy.ip, String(PORT))
  await until(() => hasDropped(status))
})

t.test('a slow link does not fill the memory of the streams engine', { skip }, async (t) => {
  const [host, container] = [await startNamespace(t), await startNamespace(t)]
  await connectSlowly(host, container)
  const status = statusPath(t)
  const env = { DOCKER_PROXY_ENGINE: 'streams', DOCKER_PROXY_STATUS_SOCKET: status }
  const options = { env, protocol: 'udp' }
  await host.startProxy({ ip: '10.9.0.2', port: 53 }, { port: PORT }, options)
  const flood = `${FLOOD}
    flood(require('node:dgram').createSocket('udp4'), ${PORT}, '127.0.0.1')`
  host.node(flood).catch(() => undefined)
  await until(() => hasDropped(status))
})

t.test('a client whose path changes keeps its flow', { skip }, async (t) => {
  const [host, client] = [await startNamespace(t), await startNamespace(t)]
  await connectNamespaces(host, client, 'v')
  await connectNamespaces(host, client, 'w')
  for (const side of [host, client]) {
    await side.sh('for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done')
  }
  await host.sh('ip addr add 10.8.8.8/32 dev lo; ip route add 10.9.9.9 dev v0')
  await client.sh('ip addr add 10.9.9.9/32 dev lo; ip route add 10.8.8.8 dev v1')
  host.node(UDP_MIRROR, '127.0.0.1', '53').catch(() => undefined)
  await host.untilUdpBound(53)
  const backend = { ip: '127.0.0.1', port: 53 }
  await host.startProxy(backend, { ip: '0.0.0.0', port: PORT }, { protocol: 'udp' })
  const ask = (): Promise<string> => client.node(UDP_ASK, '10.9.9.9,4000', '10.8.8.8', String(PORT))
  const before = await ask()
  await client.sh('ip route replace 10.8.8.8 dev w1')
  t.equal(await ask(), before, 'the backend sees the same client')
})

t.test(
  'a broadcast over IPv4 reaches a socket of both families, and is answered',
  { skip },
  async (t) => {
    for (const engine of ['native', 'streams']) {
      const [host, client] = [await startNamespace(t), await startNamespace(t)]
      await connectNamespaces(host, client, 'v')
      await host.sh('ip addr add 10.9.0.1/24 brd + dev v0')
      await client.sh('ip addr add 10.9.0.2/24 brd + dev v1')
      host.node(UDP_MIRROR, '127.0.0.1', '53').catch(() => undefined)
      await host.untilUdpBound(53)
      const flags = proxyFlags({ ip: '127.0.0.1', port: 53 }, { ip: '::', port: PORT })
      const args = [...flags, '-proto', 'udp', '-use-listen-fd']
      host.node(HAND_OVER, engine, PROGRAM, ...args).catch(() => undefined)
      await host.untilUdpBound(PORT)
      const reply = await client.node(UDP_ASK, '10.9.0.2', '10.9.0.255', String(PORT))
      t.match(reply, /^\d+$/, engine)
    }
  },
)

t.test('suggestions leave out ports that the kernel reserves', { skip }, async (t) => {
  const host = await startNamespace(t)
  await host.sh('echo 8081-8082 >/proc/sys/net/ipv4/ip_local_reserved_ports')
  const output = await host.node(
    `
    const { spawnSync } = require('node:child_process')
    const server = require('node:net').createServer().listen(8080, '127.0.0.1', () => {
      const { stderr } = spawnSync(process.argv[1], ['check', '-p', '127.0.0.1:8080:80'])
      console.log(String(stderr))
      server.close()
    })`,
    PUBLISH,
  )
  t.match(output, /free +the ports 8079, 8078, 8083;/)
})
