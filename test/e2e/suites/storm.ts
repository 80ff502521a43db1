import type { Test } from 'tap'
import { openDescriptors } from '../../lib/proc.js'
import { stop } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { seeded } from '../../lib/seeded.js'
import { prepareStorm } from '../../lib/storm.js'
import { until } from '../../lib/until.js'

/** `npm run test:storm` makes it 100,000. */
const COUNT = Number(process.env['STORM'] ?? 4_000)
const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const AT_ONCE = 100
/** Descriptors of spare pipes that two threads keep for bulk data, and of the second thread itself. */
const SPARE_PIPES = 2 * 2 * 8
const THREAD = 12

export function stormSuite(t: Test, target: Target): void {
  for (const engine of target.engines) {
    t.test(`a storm of ${COUNT} connections on ${engine}`, { timeout: 600_000 }, async (t) => {
      t.comment(`SEED=${SEED}`)
      const storm = await prepareStorm(t, seeded(SEED))
      const running = await target.startProxy(t, storm.backend, {
        env: { DOCKER_PROXY_ENGINE: engine },
      })
      const idle = openDescriptors(target.serverOf(running.pid))
      t.same(await storm.blow(running.port, COUNT, AT_ONCE), [])
      await until(
        () => openDescriptors(target.serverOf(running.pid)) <= idle + SPARE_PIPES + THREAD,
      )
      t.match(await stop(running), { code: 0 })
      t.match(await target.logOf(running), new RegExp(`"accepted":${COUNT},`))
    })
  }
}
