import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { missing } from '../lib/program.js'
import { startDaemon } from '../lib/publish.js'
import { ROUNDS, withoutFaults } from '../lib/fault-rounds.js'
import { startEcho } from '../lib/sockets.js'
import { assertNoLoss, startTraffic } from '../lib/traffic.js'

/* A clock that jumps, while clients compare every byte. */

const LIBRARY = `/usr/lib/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu/faketime/libfaketimeMT.so.1`
/** As libfaketime has them, and in hours. */
const JUMPS = [
  ['+1h', 1],
  ['-1h', -1],
  ['+3650d', 87_600],
  ['-3650d', -87_600],
  ['+0', 0],
] as const

for (const engine of ['native', 'streams']) {
  t.test(
    `${engine}: the hour and the year change`,
    { skip: withoutFaults || missing(LIBRARY, 'libfaketime') },
    async (t) => {
      const time = join(t.testdir({ time: '+0' }), 'time')
      const echo = await startEcho(t)
      const clock = [
        ...[`LD_PRELOAD=${LIBRARY}`, `FAKETIME_TIMESTAMP_FILE=${time}`, 'FAKETIME_NO_CACHE=1'],
        // The kernel's own timers do not jump.
        'DONT_FAKE_MONOTONIC=1',
      ]
      const daemon = await startDaemon(t, {
        env: { DOCKER_PROXY_ENGINE: engine },
        through: ['env', ...clock],
      })
      const view = await daemon.client.add({
        ...{ name: 'web', backend: echo.ip, ports: [`127.0.0.1::${echo.port}`] },
        options: {
          'idle-timeout': '1m',
          'half-closed-timeout': '1m',
          'max-connection-rate': '5000',
        },
      })
      const traffic = startTraffic(t, view.ports[0]?.hostPort ?? 0)
      for (let i = 0; i < ROUNDS; i++) {
        for (const [jump, hours] of JUMPS) {
          writeFileSync(time, jump)
          await traffic.more(50)
          t.match(await daemon.client.get('web'), { ports: [{ state: 'up', restarts: 0 }] })
          const { created } = await daemon.client.add({
            ...{ name: 'dated', backend: echo.ip, ports: [`127.0.0.1::${echo.port}`] },
          })
          const jumped = (Date.parse(created) - Date.now()) / 3_600_000
          t.ok(Math.abs(jumped - hours) < 0.5, `the daemon's clock is ${hours} hours ahead`)
          await daemon.client.remove('dated')
          await daemon.client.set('web', { 'max-connections': '1000' })
          await daemon.client.upgrade('web', 60_000)
        }
      }
      await traffic.stop()
      assertNoLoss(t, `${ROUNDS * JUMPS.length} jumps of up to ten years`, traffic)
    },
  )
}
