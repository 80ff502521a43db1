import { mkdirSync, openSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { once } from 'node:events'
import t from 'tap'
import { run, stop } from '../lib/program.js'
import { PROXYD, runFolder } from '../lib/proxyd.js'

/*
 * The suite of the drop-in once more, with every port handed over to a docker-proxyd, of either engine.
 */

const CONTRACT = ['flags', 'listen-fd', 'status-pipe', 'process']
const STRESS = ['many-connections', 'storm']

for (const [engine, suite] of [
  ['native', [...CONTRACT, ...STRESS]],
  ['streams', CONTRACT],
] as const) {
  t.test(`through docker-proxyd, ${engine}`, { timeout: 240_000 }, async (t) => {
    const folder = runFolder(t)
    mkdirSync(folder, { recursive: true })
    const proxyd = run(t, ['--run-dir', folder], {
      program: PROXYD,
      env: { DOCKER_PROXY_ENGINE: engine },
      stderr: openSync(join(folder, 'log'), 'w'),
    })
    await once(proxyd.child.stdout ?? t, 'data')
    const env = { ...process.env, TEST_PROXYD: folder, TEST_PROXYD_ENGINE: engine }
    for (const name of suite) {
      const file = resolve(`test/e2e/${name}.test.ts`)
      await t.spawn(process.execPath, [...process.execArgv, file], { env }, name)
    }
    t.match(await stop(proxyd), { code: 0 })
  })
}
