import { once } from 'node:events'
import { setPriority } from 'node:os'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { startHostBetween, type HostBetween } from '../lib/namespace.js'
import { notRoot } from '../lib/program.js'
import { until } from '../lib/until.js'

/* The local ports of connections to a container over a network: loopback hides how they run out. */

const skip = notRoot('to make network namespaces')
const PORT = 30_000
const [CLIENT, HOST, HOST_INSIDE, CONTAINER] = ['10.9.0.2', '10.9.0.1', '10.8.0.1', '10.8.0.2']

/** Echoes, and ends after the client. @param address argument 1 @param port argument 2 */
const ECHO = `
const [, host, port] = process.argv
const server = require('node:net').createServer({ allowHalfOpen: true }, (s) => s.on('error', () => 0).pipe(s))
server.listen(Number(port), host)`

/** Opens connections one after the other, ends each first, and prints how many were echoed. @param address argument 1 @param port argument 2 @param count argument 3 */
const COUNT_ECHOES = `
const [, host, port, count] = process.argv
let echoes = 0
const next = (left) => {
  if (left === 0) return console.log(echoes)
  const socket = require('node:net').connect(Number(port), host, () => socket.end('x'))
  socket.on('data', () => echoes++)
  socket.on('error', () => undefined)
  socket.on('close', () => next(left - 1))
}
next(Number(count))`

/** Answers, and holds connections. Ends the oldest one if a client says so. @param address argument 1 @param port argument 2 */
const HOLD = `
const [, host, port] = process.argv
const held = []
const server = require('node:net').createServer((socket) => {
  held.push(socket)
  socket.on('error', () => undefined)
  socket.on('data', (data) => String(data) === 'end one' ? held.shift().end() : socket.write(data))
})
server.listen(Number(port), host)`

/** Opens connections one after the other, holds them, and prints how many were answered. @param address argument 1 @param port argument 2 @param count argument 3 */
const OPEN = `
const [, host, port, count] = process.argv
let served = 0
let dropped = 0
const next = () => {
  if (served + dropped === Number(count)) {
    console.log(\`\${served} served, \${dropped} dropped\`)
    process.exit()
  }
  let isServed = false
  const socket = require('node:net').connect(Number(port), host, () => socket.write('x'))
  socket.once('data', () => (isServed = true) && served++ >= 0 && next())
  socket.on('error', () => undefined)
  socket.on('close', () => isServed || (dropped++ >= 0 && next()))
}
next()`

/** Answers, and ends soon after that, unless a client sends `busy`. @param address argument 1 @param port argument 2 */
const END_SOON = `
const [, host, port] = process.argv
require('node:net').createServer((socket) => {
  socket.on('error', () => undefined)
  socket.on('data', (data) => {
    socket.write(data)
    if (String(data) !== 'busy') setTimeout(() => socket.end(), 300)
  })
}).listen(Number(port), host)`

/** Opens connections at the same time, and prints how many were answered. @param address argument 1 @param port argument 2 @param count argument 3 */
const OPEN_AT_ONCE = `
const [, host, port, count] = process.argv
let served = 0
let left = Number(count)
for (let i = left; i > 0; i--) {
  const socket = require('node:net').connect(Number(port), host, () => socket.write('x'))
  socket.once('data', () => served++)
  socket.on('error', () => undefined)
  socket.on('close', () => --left === 0 && console.log(served))
}`

/** Sends small messages until somebody connects to port 82. @param address argument 1 @param port argument 2 */
const KEEP_BUSY = `
const [, host, port] = process.argv
const { connect, createServer } = require('node:net')
for (let i = 0; i < 64; i++) {
  const socket = connect(Number(port), host, () => socket.write('busy'))
  socket.on('data', () => socket.write('busy'))
}
createServer(() => process.exit()).listen(82, '127.0.0.1')`

async function network(t: Test): Promise<HostBetween> {
  const { client, host, container } = await startHostBetween(t)
  await host.sh(`ip addr add ${HOST}/24 dev c0; ip addr add ${HOST_INSIDE}/24 dev b0`)
  await client.sh(`ip addr add ${CLIENT}/24 dev c1`)
  await container.sh(`ip addr add ${CONTAINER}/24 dev b1`)
  return { client, host, container }
}

for (const engine of ['native', 'streams'] as const) {
  const env = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_LOG_LEVEL: 'error' }

  t.test(`more connections than local ports, ${engine}`, { skip }, async (t) => {
    const { client, host, container } = await network(t)
    await host.sh(`
      echo "40000 40099" >/proc/sys/net/ipv4/ip_local_port_range
      echo 40011,40021-40029 >/proc/sys/net/ipv4/ip_local_reserved_ports`)
    container.node(ECHO, CONTAINER, '80').catch(() => undefined)
    client.node(ECHO, CLIENT, '81').catch(() => undefined)
    await container.untilListening(80)
    await client.untilListening(81)
    await host.startProxy({ ip: CONTAINER, port: 80 }, { ip: HOST, port: PORT }, { env })
    t.equal(await client.node(COUNT_ECHOES, HOST, String(PORT), '400'), '400')
    t.equal(await host.node(COUNT_ECHOES, CLIENT, '81', '10'), '10', 'others find ports as well')
  })

  t.test(`a client waits while no local port is free, ${engine}`, { skip }, async (t) => {
    const { client, host, container } = await network(t)
    await host.sh(`
      echo "40000 40007" >/proc/sys/net/ipv4/ip_local_port_range
      echo 0 >/proc/sys/net/ipv4/tcp_timestamps`)
    container.node(HOLD, CONTAINER, '80').catch(() => undefined)
    await container.untilListening(80)
    const proxy = await host.startProxy(
      { ip: CONTAINER, port: 80 },
      { ip: HOST, port: PORT },
      { env },
    )
    const lines = createInterface({ input: proxy.child.stderr as Readable })
    const waits = once(lines, 'line').then(([line]) => String(line))
    // Ten clients, one after the other, for eight ports.
    const clients = client.node(OPEN, HOST, String(PORT), '10')
    t.match(JSON.parse(await waits), {
      msg: `No local port is free for a connection to backend tcp/${CONTAINER}:80: the client waits`,
    })
    await container.node(`require('node:net').connect(80, '${CONTAINER}').end('end one')`)
    t.equal(await clients, '9 served, 1 dropped')
  })
}

t.test(
  'clients of a proxy with two threads wait while no local port is free',
  { skip },
  async (t) => {
    const { client, host, container } = await network(t)
    // Then the kernel chooses the ports, and none can be used again soon.
    await host.sh('echo 0 >/proc/sys/net/ipv4/tcp_timestamps')
    container.node(END_SOON, CONTAINER, '80').catch(() => undefined)
    await container.untilListening(80)
    const proxy = await host.startProxy(
      { ip: CONTAINER, port: 80 },
      { ip: HOST, port: PORT },
      { env: { DOCKER_PROXY_ENGINE: 'native', DOCKER_PROXY_WORKERS: '2' } },
    )
    let log = ''
    proxy.child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()))
    const busy = client.node(KEEP_BUSY, HOST, String(PORT))
    // On a machine with other work, the proxy would wait for its clients.
    const { pid = 0 } = proxy.child
    setPriority(pid, 5)
    await until(() => log.includes('Busy: one more thread'))
    setPriority(pid, 0)
    await client.node(`require('node:net').connect(82, '127.0.0.1').on('error', () => 0)`)
    await busy
    await host.sh('echo "41000 41007" >/proc/sys/net/ipv4/ip_local_port_range')
    // With eight ports, most of these wait.
    t.equal(await client.node(OPEN_AT_ONCE, HOST, String(PORT), '16'), '16')
    t.match(log, 'No local port is free')
  },
)
