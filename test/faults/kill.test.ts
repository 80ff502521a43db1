import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { processParent } from '../../src/linux/proc/process.js'
import { onDemandHost } from '../lib/on-demand-host.js'
import { kill } from '../lib/proc.js'
import { proxyFlags, READY, stop } from '../lib/program.js'
import { startDaemon } from '../lib/publish.js'
import { ROUNDS, withoutFaults } from '../lib/fault-rounds.js'
import { listeningDescriptor, startEcho } from '../lib/sockets.js'
import { assertNoLoss, startTraffic } from '../lib/traffic.js'
import { until } from '../lib/until.js'

/* SIGKILL for each part at random moments, while clients compare every byte. */

/** The longest wait before a kill, milliseconds. */
const LONGEST_WAIT_MS = 300
const CLIENTS = { clients: 6, held: 10 }
const ALL_CLIENTS = CLIENTS.clients + CLIENTS.held

const someTime = (): Promise<void> => delay(Math.random() * LONGEST_WAIT_MS)

for (const engine of ['native', 'streams'] as const) {
  for (const isolation of ['process', 'shared'] as const) {
    t.test(
      `${engine}, ${isolation}: daemon, proxy and shim`,
      { skip: withoutFaults },
      async (t) => {
        const echo = await startEcho(t)
        let daemon = await startDaemon(
          t,
          { env: { DOCKER_PROXY_ENGINE: engine } },
          '--live-restore',
        )
        const ports = [`127.0.0.1::${echo.port}`]
        const view = await daemon.client.add({ name: 'web', backend: echo.ip, ports, isolation })
        const pidOf = async (): Promise<number> =>
          (await daemon.client.get('web')).ports[0]?.pid ?? 0
        const traffic = startTraffic(t, view.ports[0]?.hostPort ?? 0, CLIENTS)
        await traffic.more(CLIENTS.clients)
        let kills = 0
        for (let i = 0; i < ROUNDS; i++) {
          for (const part of ['daemon', 'proxy', 'shim'] as const) {
            await someTime()
            const { cut } = traffic.figures
            kills++
            if (part === 'daemon') {
              await daemon.end('SIGKILL')
              await someTime()
              daemon = await daemon.again()
              await traffic.more(CLIENTS.clients)
              t.equal(traffic.figures.cut, cut, 'no connection ends with the daemon')
              continue
            }
            const pid = await pidOf()
            kill(part === 'proxy' ? pid : processParent(pid))
            await until(async () => ![0, pid].includes(await pidOf()))
            await traffic.more(CLIENTS.clients)
          }
        }
        await traffic.stop()
        assertNoLoss(t, `${kills} kills`, traffic, ((kills * 2) / 3) * ALL_CLIENTS)
      },
    )
  }
}

t.test(
  'docker-proxyd, which its docker-proxies start again',
  { skip: withoutFaults },
  async (t) => {
    const echo = await startEcho(t)
    const { launch, killServer } = onDemandHost(t)
    const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
    const launcher = launch([...proxyFlags(echo, { port }), '-use-listen-fd'], fd)
    t.equal(await launcher.status, READY)
    const traffic = startTraffic(t, port, CLIENTS)
    await traffic.more(CLIENTS.clients)
    for (let i = 0; i < ROUNDS; i++) {
      await someTime()
      await killServer()
      await traffic.more(CLIENTS.clients)
    }
    await traffic.stop()
    assertNoLoss(t, `${ROUNDS} kills`, traffic, ROUNDS * ALL_CLIENTS)
    t.match(await stop(launcher), { code: 0 })
  },
)
