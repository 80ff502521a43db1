import type { Socket } from 'node:net'
import { join } from 'node:path'
import { execaSync } from 'execa'
import t from 'tap'
import { memoryFigure } from '../lib/proc.js'
import { makeFifo } from '../lib/fifo.js'
import { notRoot } from '../lib/program.js'
import { startHostBetween } from '../lib/namespace.js'
import { startDaemon } from '../lib/publish.js'
import { ROUNDS, withoutFaults } from '../lib/fault-rounds.js'
import { dial, startBackend, startEcho } from '../lib/sockets.js'
import { assertNoLoss, startTraffic } from '../lib/traffic.js'
import { until } from '../lib/until.js'

/* Backends, networks and log readers that do not keep up, while clients compare every byte. */

const ENGINES = ['native', 'streams'] as const
/** Clients whose backend does not read, and what each sends: more than the kernel takes. */
const STUCK = 40
const DATA = Buffer.alloc(32 * 1024 * 1024)
/** What a proxy may hold for a client whose backend does not read, with garbage that is not collected yet, bytes. */
const HELD_PER_CLIENT = { native: 256 * 1024, streams: 1024 * 1024 }

for (const engine of ENGINES) {
  t.test(
    `${engine}: a backend that accepts and never reads`,
    { skip: withoutFaults },
    async (t) => {
      const stuckSockets: Socket[] = []
      const silent = await startBackend(t, (socket) => stuckSockets.push(socket.pause()))
      const echo = await startEcho(t)
      const daemon = await startDaemon(t, { env: { DOCKER_PROXY_ENGINE: engine } })
      const add = async (name: string, backend: { ip: string; port: number }) => {
        const ports = [`127.0.0.1::${backend.port}`]
        const request = { name, backend: backend.ip, ports, isolation: 'process' as const }
        return (await daemon.client.add(request)).ports[0]
      }
      const [web, stuck] = [await add('web', echo), await add('stuck', silent)]
      const pid = stuck?.pid ?? 0
      const idle = memoryFigure(pid, 'RssAnon')
      const traffic = startTraffic(t, web?.hostPort ?? 0)
      const clients = await Promise.all(
        Array.from({ length: STUCK }, () => dial(t, stuck?.hostPort ?? 0)),
      )
      // A client is stuck when the kernel takes no more.
      for (const client of clients) client.write(DATA)
      const stuckBytes = (): number =>
        clients.reduce((sum, client) => sum + client.writableLength, 0)
      let before = 0
      await until(async () => {
        await traffic.more(50 * ROUNDS)
        const now = stuckBytes()
        const isSame = now === before
        before = now
        return isSame
      })
      t.ok(clients.every((client) => client.writableLength > 0))
      const grown = memoryFigure(pid, 'RssAnon') - idle
      t.ok(grown < STUCK * HELD_PER_CLIENT[engine], `${STUCK} clients cost ${grown} bytes`)
      // The end of a client lies behind its data.
      for (const socket of stuckSockets) socket.destroy()
      await until(async () => (await daemon.client.get('stuck')).ports[0]?.connections === 0)
      await traffic.stop()
      assertNoLoss(
        t,
        `${STUCK} clients of a backend that does not read, each stuck in a write of 32 MiB`,
        traffic,
      )
    },
  )
}

for (const engine of ENGINES) {
  t.test(
    `${engine}: a reader of the log that does not read`,
    { skip: withoutFaults },
    async (t) => {
      const fifo = makeFifo(t, 'log')
      fifo.fill()
      const echo = await startEcho(t)
      const daemon = await startDaemon(t, {
        env: { DOCKER_PROXY_ENGINE: engine },
        through: ['sh', '-c', `exec "$@" 2>${join(t.testdirName, 'log')}`, 'sh'],
      })
      const view = await daemon.client.add({
        ...{ name: 'web', backend: echo.ip, ports: [`127.0.0.1::${echo.port}`] },
        options: { 'access-log': 'start' },
      })
      const traffic = startTraffic(t, view.ports[0]?.hostPort ?? 0)
      await traffic.more(300 * ROUNDS)
      t.match(fifo.drain(), /^x+$/, 'no line found room')
      await until(async () => {
        await traffic.more(10)
        return /log lines lost: stderr could not be written/.test(fifo.drain())
      })
      await traffic.stop()
      assertNoLoss(t, 'two lines for each connection, and nobody read them', traffic)
    },
  )
}

/** Sends random bytes over many connections, and compares what comes back. @param port argument 1 @param rounds argument 2 */
const COMPARE = `
const [, port, rounds] = process.argv
const data = require('node:crypto').randomBytes(500_000)
let bytes = 0, losses = 0
const one = () => new Promise((resolve) => {
  const socket = require('node:net').connect({ port, host: '10.9.0.1', allowHalfOpen: true })
  let read = Buffer.alloc(0)
  socket.on('data', (chunk) => (read = Buffer.concat([read, chunk])))
  socket.on('error', () => undefined)
  socket.on('end', () => socket.end())
  socket.on('close', () => { bytes += read.length; if (!read.equals(data)) losses++; resolve() })
  socket.end(data)
})
const all = async () => {
  for (let i = 0; i < rounds; i++) await Promise.all(Array.from({ length: 10 }, one))
  console.log(bytes + ' bytes compared, ' + losses + ' losses')
}
all()`

/** Echoes what comes on 10.9.1.2:80. */
const ECHO = `require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => undefined).pipe(socket)
}).listen(80, '10.9.1.2')`

const withoutNetem = ((): string | false => {
  if (withoutFaults) return withoutFaults
  try {
    execaSync('unshare', [
      '--net',
      'tc',
      'qdisc',
      'add',
      'dev',
      'lo',
      'root',
      'netem',
      'loss',
      '1%',
    ])
    return false
  } catch {
    return 'this kernel has no netem'
  }
})()

for (const engine of ENGINES) {
  t.test(
    `${engine}: loss, delay and disorder on both sides`,
    { skip: notRoot('to make network namespaces') || withoutNetem },
    async (t) => {
      const { client, host, container } = await startHostBetween(t)
      await host.sh('ip addr add 10.9.0.1/24 dev c0; ip addr add 10.9.1.1/24 dev b0')
      await client.sh('ip addr add 10.9.0.2/24 dev c1')
      await container.sh('ip addr add 10.9.1.2/24 dev b1')
      for (const link of ['c0', 'b0']) {
        await host.sh(`tc qdisc add dev ${link} root netem delay 10ms 5ms loss 2% reorder 5%`)
      }
      container.node(ECHO).catch(() => undefined)
      await container.untilListening(80)
      const env = { DOCKER_PROXY_ENGINE: engine }
      await host.startProxy({ ip: '10.9.1.2', port: 80 }, { ip: '10.9.0.1', port: 8080 }, { env })
      const figures = await client.node(COMPARE, '8080', String(ROUNDS))
      t.comment(figures)
      t.match(figures, /^\d{7,} bytes compared, 0 losses$/)
    },
  )
}
