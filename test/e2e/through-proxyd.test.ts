import t, { type Test } from 'tap'
import { stop } from '../lib/program.js'
import { runFolder, startProxyd } from '../lib/proxyd.js'
import { oneProxyd, proxydEach, type Target } from '../lib/target.js'
import { descriptorsSuite } from './suites/descriptors.js'
import { flagsSuite } from './suites/flags.js'
import { listenFdSuite } from './suites/listen-fd.js'
import { logSuite } from './suites/log.js'
import { manyConnectionsSuite } from './suites/many-connections.js'
import { memorySuite } from './suites/memory.js'
import { portOptionsSuite } from './suites/port-options.js'
import { processSuite } from './suites/process.js'
import { settingsSuite } from './suites/settings.js'
import { statusPipeSuite } from './suites/status-pipe.js'
import { stormSuite } from './suites/storm.js'
import { udpShortageSuite } from './suites/udp-shortage.js'
import { workersSuite } from './suites/workers.js'

type Suite = (t: Test, target: Target) => void

/*
 * The suites of the drop-in with every port handed over to a docker-proxyd.
 */

const CONTRACT = {
  flagsSuite,
  listenFdSuite,
  statusPipeSuite,
  processSuite,
  settingsSuite,
  portOptionsSuite,
}
const STRESS = { manyConnectionsSuite, stormSuite }
/** Each of these needs the stderr, memory, limits, network or threads of one process to itself. */
const ONE_PROCESS = { logSuite, memorySuite, descriptorsSuite, udpShortageSuite, workersSuite }

const runSuites = async (
  t: Test,
  target: Target,
  suites: Readonly<Record<string, Suite>>,
): Promise<void> => {
  for (const [name, suite] of Object.entries(suites)) {
    await t.test(name, async (t) => suite(t, target))
  }
}

for (const [engine, suites] of [
  ['native', { ...CONTRACT, ...STRESS }],
  ['streams', CONTRACT],
] as const) {
  t.test(`through one docker-proxyd, ${engine}`, async (t) => {
    const proxyd = await startProxyd(t, { env: { DOCKER_PROXY_ENGINE: engine } })
    await runSuites(t, oneProxyd(proxyd, engine), suites)
    t.match(await stop(proxyd), { code: 0 })
  })
}

t.test('each through a docker-proxyd of its own', async (t) => {
  await runSuites(t, proxydEach(runFolder(t)), ONE_PROCESS)
})
