import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import t from 'tap'
import { listeningPort } from '../../lib/proc.js'
import { proxyFlags, run, stop } from '../../lib/program.js'
import { PROXYD, startProxyd, untilAsked } from '../../lib/proxyd.js'
import { assertReleased } from '../../lib/released.js'
import { exchange, listeningDescriptor, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

t.test('a docker-proxyd that dies is followed by one that goes on', async (t) => {
  const first = await startProxyd(t)
  const echo = await startEcho(t)
  const own = await first.publish(echo)
  const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
  const handed = await first.publish(echo, {
    listenFd: fd,
    flags: [...proxyFlags(echo, { port }), '-use-listen-fd'],
  })
  first.child.kill('SIGKILL')
  await first.exit
  await assertReleased(t, own.port)
  // The launcher holds the socket: new clients wait in its backlog.
  const meanwhile = exchange(t, port, 'meanwhile')

  const second = await startProxyd(t, { folder: first.folder })
  t.equal(await meanwhile, 'meanwhile')
  t.equal(await second.portOf(handed.pid), port)
  t.equal(await exchange(t, await second.portOf(own.pid), 'again'), 'again')
  t.match(await stop(own), { code: 0 })
  t.match(await stop(handed), { code: 0 })
})

t.test('a stop that docker-proxyd has read and not answered is heard by the next', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const launcher = await proxyd.publish(echo)
  process.kill(proxyd.pid, 'SIGSTOP')
  launcher.child.kill('SIGTERM')
  const control = openSync(join(proxyd.folder, 'control'), 'r+')
  const request = Buffer.alloc(64)
  const length = readSync(control, request)
  t.equal(request.toString('latin1', 0, length), `\nstop ${launcher.pid}\n`)
  closeSync(control)
  proxyd.child.kill('SIGKILL')
  await proxyd.exit
  await startProxyd(t, { folder: proxyd.folder })
  t.same(await launcher.exit, { code: 0, signal: null })
  await assertReleased(t, launcher.port)
})

for (const engine of ['native', 'streams']) {
  t.test(
    `a port that is stopped while it is being bound is free when its launcher has ended, ${engine}`,
    async (t) => {
      const proxyd = await startProxyd(t, { env: { DOCKER_PROXY_ENGINE: engine } })
      const echo = await startEcho(t)
      for (let i = 0; i < 20; i++) {
        proxyd.child.kill('SIGSTOP')
        const launcher = run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } })
        await untilAsked([launcher])
        launcher.child.kill('SIGTERM')
        proxyd.child.kill('SIGCONT')
        t.same(await launcher.exit, { code: 0, signal: null })
        t.throws(() => listeningPort(proxyd.pid), { message: 'does not listen' })
      }
    },
  )
}

t.test('a launcher that ends while docker-proxyd does leaves its port free', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const launcher = await proxyd.publish(echo)
  proxyd.child.kill('SIGTERM')
  await until(() => !existsSync(join(proxyd.folder, 'pid')))
  if (existsSync(`/proc/${proxyd.pid}`)) process.kill(proxyd.pid, 'SIGSTOP')
  launcher.child.kill('SIGTERM')
  t.same(await launcher.exit, { code: 0, signal: null })
  await assertReleased(t, launcher.port)
  process.kill(proxyd.pid, 'SIGCONT')
  await proxyd.exit
})

t.test('a reload of one that only starts does not end it', async (t) => {
  const first = await startProxyd(t)
  // The next one waits until this one has answered.
  process.kill(first.pid, 'SIGSTOP')
  const next = run(t, ['--run-dir', first.folder, '--replace'], { program: PROXYD })
  const status = (): string => readFileSync(`/proc/${next.pid}/status`, 'utf8')
  await until(() => /^SigCgt:\s+\w*[8-9a-f]\w\w$/m.test(status()))
  process.kill(next.pid, 'SIGUSR2')
  process.kill(first.pid, 'SIGCONT')
  await once(next.child.stdout as Readable, 'data')
  t.match(await first.exit, { code: 0 })
  t.match(await stop(next), { code: 0 })
})
