import { once } from 'node:events'
import { chmodSync, closeSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { execaSync } from 'execa'
import t from 'tap'
import { fetchPortStatuses } from '../../../src/status/port-status.js'
import { notRoot, proxyFlags, READY, run, stop, type Running } from '../../lib/program.js'
import { PROXYD, runFolder, startProxyd, untilAsked } from '../../lib/proxyd.js'
import { assertReleased } from '../../lib/released.js'
import { dial, exchange, listeningDescriptor, startEcho } from '../../lib/sockets.js'
import { freeRow } from '../../lib/free-row.js'
import { mountSmallDisk } from '../../lib/small-disk.js'
import { until } from '../../lib/until.js'

function limitDescriptors({ pid }: Running, limit: number): void {
  execaSync('prlimit', [`--pid=${pid}`, `--nofile=${limit}:`])
}

t.test('out of descriptors, new ports are refused and existing ones continue', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t, { descriptors: 80 })
  const launchers: (Running & { port: number })[] = []
  let refusal = ''
  while (refusal === '') {
    try {
      launchers.push(await proxyd.publish(echo, { flags: proxyFlags(echo) }))
    } catch (err) {
      refusal = (err as Error).message
    }
  }
  t.match(refusal, 'too many open files')
  t.ok(launchers.length > 5)
  for (const launcher of launchers.slice(5)) t.match(await stop(launcher), { code: 0 })
  const again = await proxyd.publish(echo)
  t.equal(await exchange(t, again.port, 'again'), 'again')
  t.equal(await exchange(t, launchers[0]?.port ?? 0, 'still'), 'still')
})

t.test('without a single descriptor left it goes on, and so do its connections', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  const launchers = await Promise.all(Array.from({ length: 5 }, () => proxyd.publish(echo)))
  const [withdrawn, busy] = launchers
  if (!withdrawn || !busy) throw new Error('there are five')
  const client = await dial(t, busy.port)
  const echoed = async (text: string): Promise<string> => {
    client.write(text)
    const [data] = (await once(client, 'data')) as [Buffer]
    return data.toString()
  }
  t.equal(await echoed('before'), 'before')
  limitDescriptors(proxyd, 3)
  withdrawn.child.kill('SIGTERM')
  t.match(await withdrawn.exit, { code: 0 }, 'the order to end reaches it')
  t.equal(await echoed('after'), 'after')
  t.equal(proxyd.child.exitCode, null)
  await assertReleased(t, withdrawn.port)
  limitDescriptors(proxyd, 1_000)
  t.match(await stop(proxyd), { code: 0 })
})

t.test(
  'a launcher that could not be inspected serves its port itself when docker-proxyd ends',
  async (t) => {
    const echo = await startEcho(t)
    const proxyd = await startProxyd(t)
    limitDescriptors(proxyd, 3)
    const launcher = run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } })
    await until(() => proxyd.lines.some(({ msg }) => String(msg).startsWith("Can't inspect the")))
    // Before the next attempt.
    proxyd.child.kill('SIGSTOP')
    limitDescriptors(proxyd, 1_000)
    proxyd.child.kill('SIGTERM')
    proxyd.child.kill('SIGCONT')
    t.equal(await launcher.status, READY)
    t.match(await proxyd.exit, { code: 0 })
    t.match(await stop(launcher), { code: 0 })
  },
)

t.test('a burst beyond the descriptors is refused, each with the reason', async (t) => {
  const BURST = 52
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t, { descriptors: 64 })
  proxyd.child.kill('SIGSTOP')
  const launchers = Array.from({ length: BURST }, () =>
    run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } }),
  )
  // All have sent their request before any is answered.
  await untilAsked(launchers)
  proxyd.child.kill('SIGCONT')
  const answers = await Promise.all(launchers.map(({ status }) => status))
  const ready = answers.filter((answer) => answer === READY)
  t.ok(ready.length > 0 && ready.length < BURST, `${ready.length} of ${BURST}`)
  for (const answer of answers.filter((each) => each !== READY)) {
    t.match(answer, /^1\n.*: too many open files$/)
  }
})

t.test('started anew with too few descriptors, it lets launchers wait for room', async (t) => {
  const COUNT = 60
  const echo = await startEcho(t)
  const first = await startProxyd(t)
  const { folder } = first
  const handed = [...proxyFlags(echo, { port: 1 }), '-use-listen-fd']
  const launchers = await Promise.all(
    Array.from({ length: COUNT }, async (_, i) => {
      if (i % 2 === 0) return first.publish(echo)
      const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
      const launcher = await first.publish(echo, { flags: handed, listenFd: fd })
      closeSync(fd)
      return { ...launcher, port }
    }),
  )
  first.child.kill('SIGKILL')
  await first.exit
  const short = await startProxyd(t, { folder, descriptors: 80 })
  const launchersWith = (text: string): Set<unknown> =>
    new Set(
      short.lines.filter(({ msg }) => String(msg).startsWith(text)).map(({ launcher }) => launcher),
    )
  const served = (): Set<unknown> => launchersWith('Proxy listening')
  const refused = (): Set<unknown> => launchersWith("A port can't be published yet")
  await until(() => served().size + refused().size >= COUNT)
  const before = served()
  t.ok(before.size > 0 && before.size < COUNT, `${before.size} of ${COUNT}`)
  // Waiting launchers end when they are stopped, and the others make room for more.
  const waiting = launchers.filter(({ pid }) => !before.has(pid))
  for (const launcher of waiting.splice(0, 5)) t.match(await stop(launcher), { code: 0 })
  const ended = launchers.filter(({ pid }) => before.has(pid))
  for (const launcher of ended) t.match(await stop(launcher), { code: 0 })
  await until(() => served().size > before.size)
  t.ok(waiting.every(({ child }) => child.exitCode === null))
  const errors = short.lines.filter(({ level }) => level === 50)
  t.equal(errors.length, COUNT - before.size, 'each is logged once')
  t.match(await stop(short), { code: 0 })

  const roomy = await startProxyd(t, { folder })
  for (const { pid } of waiting) t.equal(await exchange(t, await roomy.portOf(pid), 'x'), 'x')
  for (const launcher of waiting) t.match(await stop(launcher), { code: 0 })
  t.match(await stop(roomy), { code: 0 })
})

t.test('a request during the end is answered: the launcher becomes the program', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  proxyd.child.kill('SIGSTOP')
  const launchers = Array.from({ length: 10 }, () =>
    run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } }),
  )
  await untilAsked(launchers)
  proxyd.child.kill('SIGTERM')
  proxyd.child.kill('SIGCONT')
  for (const { status } of launchers) t.equal(await status, READY)
  t.match(await proxyd.exit, { code: 0 })
  for (const launcher of launchers) t.match(await stop(launcher), { code: 0 })
})

t.test(
  'a replacement that fails for a full disk leaves it able to work',
  { skip: notRoot('to mount a disk') },
  async (t) => {
    const echo = await startEcho(t)
    const disk = mountSmallDisk(t)
    chmodSync(disk.folder, 0o700)
    const proxyd = await startProxyd(t, { folder: disk.folder })
    disk.fill()
    const next = run(t, ['--run-dir', disk.folder, '--replace'], { program: PROXYD })
    t.match(await next.exit, { code: 1 })
    const launcher = await proxyd.publish(echo)
    t.equal(await exchange(t, launcher.port, 'still'), 'still')
    t.match(await fetchPortStatuses(join(disk.folder, 'socket')), [{ pid: launcher.pid }])
    t.match(await stop(launcher), { code: 0 })
    t.match(await stop(proxyd), { code: 0 })
  },
)

t.test('a launcher whose control pipe was removed ends on a signal', async (t) => {
  const echo = await startEcho(t)
  const folder = runFolder(t)
  const first = await startProxyd(t, { folder })
  const launcher = await first.publish(echo)
  first.child.kill('SIGKILL')
  await first.exit
  rmSync(join(folder, 'control'))
  const next = await startProxyd(t, { folder })
  t.match(await stop(launcher), { code: 0 })
  t.match(await stop(next), { code: 0 })
})

t.test('without the control pipe of its launchers no other takes its place', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  const launcher = await proxyd.publish(echo)
  rmSync(join(proxyd.folder, 'control'))
  const next = run(t, ['--run-dir', proxyd.folder, '--replace'], { program: PROXYD })
  t.match(await next.exit, { code: 1 })
  t.equal(
    await next.stderr,
    `docker-proxyd: docker-proxyd ${proxyd.pid} can't be replaced: its control pipe was removed, and its docker-proxies have no other; restart it once their containers are stopped\n`,
  )
  t.equal(await exchange(t, launcher.port, 'still'), 'still')
  t.match(await fetchPortStatuses(join(proxyd.folder, 'socket')), [{ pid: launcher.pid }])
  t.match(await stop(launcher), { code: 0 })
  t.match(await stop(proxyd), { code: 0 })
})

t.test('a control pipe that others may write to is not used', async (t) => {
  const folder = runFolder(t)
  execaSync('mkfifo', ['-m', '666', join(folder, 'control')])
  const proxyd = run(t, ['--run-dir', folder], { program: PROXYD })
  t.match(await proxyd.exit, { code: 1 })
  t.equal(
    await proxyd.stderr,
    `docker-proxyd: can't use ${join(folder, 'control')}: other users can access it; remove it\n`,
  )
})

t.test(
  'with too few descriptors docker-proxyd says so, or serves what it has accepted',
  async (t) => {
    const echo = await startEcho(t)
    for (let limit = 18; limit <= 70; limit += 4) {
      const folder = runFolder(t)
      const args = ['-c', `ulimit -n ${limit}; exec "$@"`, 'sh', PROXYD, '--run-dir', folder]
      const proxyd = run(t, args, { program: '/bin/sh' })
      const isReady = await Promise.race([
        once(proxyd.child.stdout ?? t, 'data').then(() => true),
        proxyd.exit.then(() => false),
      ])
      if (!isReady) {
        t.not((await proxyd.exit).code, 0, `${limit} are too few`)
        continue
      }
      const port = freeRow(1)
      const launcher = run(t, proxyFlags(echo, { port }), { env: { DOCKER_PROXY_RUN_DIR: folder } })
      const status = await launcher.status
      if (status === READY) t.equal(await exchange(t, port, 'works'), 'works', `${limit} suffice`)
      else t.match(status, /^1\n.*too many open files/, `${limit} are too few for a port`)
      proxyd.child.kill('SIGTERM')
      await proxyd.exit
    }
  },
)
