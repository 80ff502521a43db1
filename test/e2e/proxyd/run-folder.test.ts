import { appendFileSync, chmodSync, chownSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { notRoot, run, stop } from '../../lib/program.js'
import { PROXYD, runFolder, startProxyd } from '../../lib/proxyd.js'
import { ownProcess } from '../../lib/target.js'
import { exchange, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

t.test('there is one docker-proxyd for a folder', async (t) => {
  const proxyd = await startProxyd(t)
  const second = run(t, ['--run-dir', proxyd.folder], {
    program: PROXYD,
  })
  t.match(await second.exit, { code: 1 })
  t.equal(
    await second.stderr,
    `docker-proxyd: another docker-proxyd uses ${proxyd.folder}: stop it, or name another folder with --run-dir\n`,
  )
})

t.test('the pid file holds one pid', async (t) => {
  const proxyd = await startProxyd(t)
  t.equal(readFileSync(join(proxyd.folder, 'pid'), 'utf8'), `${proxyd.pid}\n`)
})

t.test('a folder that others may write to is not used', async (t) => {
  const folder = runFolder(t)
  chmodSync(folder, 0o777)
  const open = run(t, ['--run-dir', folder], { program: PROXYD })
  t.match(await open.exit, { code: 1 })
  t.equal(
    await open.stderr,
    `docker-proxyd: can't use the folder ${folder}: other users can write to it; prevent that with chmod go-w, or name another one with --run-dir\n`,
  )
  t.same(readdirSync(folder), [])
})

t.test("nor one of another user's", { skip: notRoot('to give a folder away') }, async (t) => {
  const NOBODY = 65_534
  const proxyd = await startProxyd(t)
  chownSync(proxyd.folder, NOBODY, NOBODY)
  const alone = await ownProcess.startProxy(t, await startEcho(t), {
    env: { DOCKER_PROXY_RUN_DIR: proxyd.folder },
  })
  t.equal(await exchange(t, alone.port, 'alone'), 'alone')
  await stop(alone)
  await stop(proxyd)
  const next = run(t, ['--run-dir', proxyd.folder], { program: PROXYD })
  t.match(await next.exit, { code: 1 })
  t.match(await next.stderr, `it belongs to user ${NOBODY}, not to the user that runs this`)
})

t.test('an incomplete line on the control pipe does not affect the next request', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  appendFileSync(join(proxyd.folder, 'control'), 'garbage')
  const launcher = await proxyd.publish(echo)
  appendFileSync(join(proxyd.folder, 'control'), 'more of it')
  t.match(await stop(launcher), { code: 0 })
  await until(() => proxyd.lines.filter(({ line }) => line === 'garbage').length === 1)
})
