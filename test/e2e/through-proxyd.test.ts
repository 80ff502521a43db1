import { openSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { run, stop } from '../lib/program.js'
import { PROXYD, runFolder } from '../lib/proxyd.js'

/*
 * The suite of the drop-in once more, with every port handed over to a docker-proxyd.
 */

const CONTRACT = ['flags', 'listen-fd', 'status-pipe', 'process', 'settings']
const STRESS = ['many-connections', 'storm']
/** What surrounds a process: its stderr, memory, descriptors, network and threads. */
const SURROUNDINGS = ['log', 'memory', 'descriptors', 'udp-shortage', 'workers']

const again = async (t: Test, suite: readonly string[], env: NodeJS.ProcessEnv): Promise<void> => {
  for (const name of suite) {
    const file = resolve(`test/e2e/${name}.test.ts`)
    const options = { env: { ...process.env, ...env } }
    await t.spawn(process.execPath, [...process.execArgv, file], options, name)
  }
}

for (const [engine, suite] of [
  ['native', [...CONTRACT, ...STRESS]],
  ['streams', CONTRACT],
] as const) {
  t.test(`through one docker-proxyd, ${engine}`, { timeout: 240_000 }, async (t) => {
    const folder = runFolder(t)
    const proxyd = run(t, ['--run-dir', folder], {
      program: PROXYD,
      env: { DOCKER_PROXY_ENGINE: engine },
      stderr: openSync(join(folder, 'log'), 'w'),
    })
    await once(proxyd.child.stdout ?? t, 'data')
    await again(t, suite, { TEST_PROXYD: folder, TEST_PROXYD_ENGINE: engine })
    t.match(await stop(proxyd), { code: 0 })
  })
}

t.test('each through a docker-proxyd of its own', { timeout: 240_000 }, async (t) => {
  await again(t, SURROUNDINGS, { TEST_PROXYDS: runFolder(t) })
})
