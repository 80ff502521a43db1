import { once } from 'node:events'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { execaSync } from 'execa'
import t from 'tap'
import { freeRow } from '../../lib/free-row.js'
import { requireCheckedSyscalls } from '../../../src/linux/ffi/checked-syscalls.js'
import { openDescriptors, statusFigure } from '../../lib/proc.js'
import { notRoot, ORIGINAL } from '../../lib/program.js'
import { leftovers, startDaemon } from '../../lib/publish.js'
import { mountSmallDisk } from '../../lib/small-disk.js'
import { assertReleased } from '../../lib/released.js'
import { exchange, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

t.test(
  'a folder that became read-only: rm, add and SIGTERM end, and say what is wrong',
  { skip: notRoot('to mount') },
  async (t) => {
    const daemon = await startDaemon(t)
    const folder = join(daemon.folder, 'exec')
    const echo = await startEcho(t)
    const ports = [`127.0.0.1::${echo.port}`]
    const [one, two] = [
      await daemon.client.add({ name: 'one', backend: '127.0.0.1', ports }),
      await daemon.client.add({ name: 'two', backend: '127.0.0.1', ports }),
    ].map((view) => view.ports[0]?.hostPort ?? 0)
    execaSync('mount', ['--bind', folder, folder])
    let isMounted = true
    const unmount = (): void => {
      if (isMounted) execaSync('umount', [folder])
      isMounted = false
    }
    t.teardown(unmount)
    execaSync('mount', ['-o', 'remount,bind,ro', folder])

    t.match(await daemon.cli('rm', 'one'), { code: 0 })
    await assertReleased(t, one ?? 0)
    t.match(await daemon.cli('add', '-p', ports[0] ?? '', '127.0.0.1'), {
      code: 125,
      stderr: /^can't start the proxy: can't write .*\.pid: is the disk full or read-only\?\n$/,
    })
    t.match(await daemon.end('SIGTERM'), { code: 0 })
    t.match(await daemon.running.stderr, `Can't tidy up after a proxy in ${folder}: read-only file`)
    t.same(leftovers(daemon.folder), [])

    unmount()
    const next = await daemon.again()
    t.equal(await exchange(t, two ?? 0, 'again'), 'again')
    await next.client.remove('two')
    t.same(
      readdirSync(folder).filter((name) => name !== 'lock'),
      [],
      'the next start has tidied up',
    )
  },
)

t.test('all or nothing: one port that fails takes the others back', async (t) => {
  const daemon = await startDaemon(t)
  const port = freeRow(4)
  const holder = createServer().listen(port + 3, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const before = openDescriptors(daemon.running.pid)
  await t.rejects(
    daemon.client.add({ backend: '127.0.0.1', ports: [`127.0.0.1:${port}-${port + 3}:80-83`] }),
    { code: 'port-in-use' },
  )
  // The request's own sockets may still be closing.
  await until(() => openDescriptors(daemon.running.pid) <= before)
  t.same(await daemon.client.list(), [])
  t.same(leftovers(daemon.folder), [])
  for (let i = 0; i < 3; i++) await assertReleased(t, port + i)
})

t.test(
  'a full disk: add and rm say so, and nothing is half done',
  { skip: notRoot('to mount') },
  async (t) => {
    const disk = mountSmallDisk(t)
    const daemon = await startDaemon(t, { dataRoot: disk.folder })
    const echo = await startEcho(t)
    const add = (name: string, port = 0) =>
      daemon.client.add({
        name,
        backend: '127.0.0.1',
        ports: [`127.0.0.1:${port || ''}:${echo.port}`],
      })
    const { ports } = await add('kept')
    const port = ports[0]?.hostPort ?? 0
    disk.fill()
    const reason = {
      code: 'state-not-saved',
      message: `can't save the state in ${disk.folder}: no space left on device`,
    }
    await t.rejects(add('refused'), reason)
    await t.rejects(daemon.client.remove('kept'), reason)
    t.match(await daemon.cli('rm', 'kept'), { code: 1, stderr: `${reason.message}\n` })
    t.same(
      (await daemon.client.list()).map(({ name }) => name),
      ['kept'],
    )
    t.equal(await exchange(t, port, 'still'), 'still')
    await daemon.end('SIGKILL')
    disk.free()
    const next = await daemon.again()
    t.same(
      (await next.client.list()).map(({ name }) => name),
      ['kept'],
    )
    await next.client.remove('kept')
    t.match(await next.end('SIGTERM'), { code: 0 })
  },
)

t.test('out of descriptors an add is refused, and goes on as they free up', async (t) => {
  const daemon = await startDaemon(t, { descriptors: 40 })
  const names: string[] = []
  const add = async (): Promise<void> => {
    const { name } = await daemon.client.add({ backend: '127.0.0.1', ports: ['127.0.0.1::80'] })
    names.push(name)
  }
  const fill = async (): Promise<unknown> => {
    for (;;) {
      try {
        await add()
      } catch (err) {
        return err
      }
    }
  }
  t.match(await fill(), { name: 'Refusal', message: /too many open files/ })
  t.ok(names.length > 3, `${names.length} fitted in`)
  const listed = async (): Promise<string[]> => (await daemon.client.list()).map(({ name }) => name)
  t.same(await listed(), names)
  t.equal(leftovers(daemon.folder).length, 2 * names.length, 'a shim and a proxy each')
  for (const name of names.splice(0, 3)) await daemon.client.remove(name)
  await add()
  t.same(await listed(), names)
  t.match(await daemon.end('SIGTERM'), { code: 0 })
  t.same(leftovers(daemon.folder), [])
})

t.test('a stop in the middle of an add leaves nothing half published', async (t) => {
  for (const [isolation, processes, options] of [
    ['process', 6, []],
    ['process', 6, ['--live-restore']],
    ['process', 6, existsSync(ORIGINAL) ? ['--proxy-path', ORIGINAL] : []],
    ['shared', 1, []],
    ['shared', 1, ['--live-restore']],
  ] as const) {
    // A process that reads its settings from a FIFO waits for a writer, so it can't get ready before the stop.
    const fifo = isolation === 'shared' ? join(t.testdir(), 'settings') : undefined
    if (fifo) requireCheckedSyscalls().makeFifo(fifo, 0o600)
    const env = fifo ? { DOCKER_PROXY_CONFIG: fifo } : {}
    const daemon = await startDaemon(t, { env }, ...options)
    const first = freeRow(40)
    const adding = daemon.client.add({
      backend: '127.0.0.1',
      ports: [`127.0.0.1:${first}-${first + 39}:9000-9039`],
      isolation,
    })
    await until(() => leftovers(daemon.folder).length >= processes)
    const ended = daemon.end('SIGTERM')
    await t.rejects(adding)
    if (fifo) writeFileSync(fifo, '{}')
    await ended
    t.same(leftovers(daemon.folder), [], [isolation, ...options].join(' '))
    t.same(readdirSync(join(daemon.folder, 'exec')), [])
  }
})

t.test('out of descriptors an adopted proxy is not taken for dead', async (t) => {
  const daemon = await startDaemon(t, { descriptors: 60 })
  const { ports } = await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: ['127.0.0.1::80'],
  })
  await daemon.end('SIGKILL')
  const next = await daemon.again()
  const silent = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const socket = connect(join(daemon.folder, 'socket'))
      t.teardown(() => socket.destroy())
      socket.on('error', () => undefined)
      await once(socket, 'connect')
      return socket
    }),
  )
  await until(() => openDescriptors(next.running.pid) >= 60)
  // It wakes up to check the adopted proxy, and for little else.
  const wakeUps = (): number => statusFigure(next.running.pid, 'voluntary_ctxt_switches')
  const before = wakeUps()
  await until(() => wakeUps() >= before + 6)
  for (const socket of silent) socket.destroy()
  await until(() => openDescriptors(next.running.pid) < 40)
  t.match((await next.client.get('a')).ports[0], { state: 'up', pid: ports[0]?.pid, restarts: 0 })
  t.match(await next.end('SIGTERM'), { code: 0 })
  t.same(leftovers(next.folder), [])
})
