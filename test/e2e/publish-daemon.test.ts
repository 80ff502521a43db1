import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { formatPublications } from '../../src/cli/publication-table.js'
import type { PublicationEvent } from '../../src/controller/api/types.js'
import { ask, bindUdp, startUdpEcho } from '../lib/datagrams.js'
import { freeRow } from '../lib/free-row.js'
import { openDescriptors } from '../lib/proc.js'
import { notRoot, ORIGINAL } from '../lib/program.js'
import { leftovers, publish, startDaemon } from '../lib/publish.js'
import { mountSmallDisk } from '../lib/small-disk.js'
import { dial, exchange, readAll, startBackend, startEcho } from '../lib/sockets.js'
import { until } from '../lib/until.js'

t.test('what people type, and what they read', async (t) => {
  const daemon = await startDaemon(t)
  const echo = await startEcho(t)
  const port = freeRow(2)
  const spec = `${port}:${echo.port}`

  t.test('nothing is published yet', async (t) => {
    t.match(
      (await daemon.cli('ls')).stdout,
      /^NAME +BACKEND +PORTS +STATUS +CONNECTIONS +UPTIME\n$/,
    )
    t.same(JSON.parse((await daemon.cli('ls', '--format', 'json')).stdout), [])
  })

  t.test('add, ls, port, inspect', async (t) => {
    const added = await daemon.cli('add', '-p', spec, '--name', 'web_svr01', '127.0.0.1')
    t.equal(
      added.stdout,
      `web_svr01: 0.0.0.0:${port}->${echo.port}/tcp, [::]:${port}->${echo.port}/tcp\n`,
    )
    t.equal(await exchange(t, port, 'four'), 'four')
    t.equal(await exchange(t, port, 'six', '::1'), 'six')

    const open = await dial(t, port)
    open.write('x')
    await once(open, 'data')
    const [, row = ''] = (await daemon.cli('ls')).stdout.split('\n')
    t.match(
      row,
      /^web_svr01 +127\.0\.0\.1 +0\.0\.0\.0:.*\/tcp +up +1 +(Less than a second|\d+ seconds?)$/,
    )
    open.destroy()

    t.equal(
      (await daemon.cli('port', 'web_svr01')).stdout,
      `${echo.port}/tcp -> 0.0.0.0:${port}\n${echo.port}/tcp -> [::]:${port}\n`,
    )
    t.equal(
      (await daemon.cli('port', 'web_svr01', `${echo.port}/tcp`)).stdout,
      `0.0.0.0:${port}\n[::]:${port}\n`,
    )
    const absent = await daemon.cli('port', 'web_svr01', '81/udp')
    t.equal(absent.stderr, "no public port '81/udp' published for web_svr01\n")
    t.equal(absent.code, 125)
    const wrong = await daemon.cli('port', 'web_svr01', 'http')
    t.match(wrong, { code: 2, stderr: /invalid port "http": expected one as 80 or 53\/udp/ })

    const [inspected] = JSON.parse((await daemon.cli('inspect', 'web_svr01')).stdout) as [object]
    t.match(inspected, {
      name: 'web_svr01',
      backend: '127.0.0.1',
      created: /^\d{4}-\d\d-\d\dT/,
      ports: [
        {
          protocol: 'tcp',
          hostIp: '0.0.0.0',
          hostPort: port,
          containerPort: echo.port,
          state: 'up',
          pid: Number,
          restarts: 0,
          holdsSocket: true,
        },
        { hostIp: '::' },
      ],
    })
  })

  t.test('a second publication on the port is refused, and told who has it', async (t) => {
    const { code, stdout, stderr } = await daemon.cli(
      'add',
      '-p',
      `${port}:90`,
      '--name',
      'web_svr02',
      '127.0.0.1',
    )
    t.equal(code, 125)
    t.equal(stdout, '')
    const [first, held, free] = stderr.split('\n')
    t.equal(first, `Bind for 0.0.0.0:${port} failed: port is already allocated`)
    t.match(
      held,
      new RegExp(
        `held by   the publication web_svr01 \\(0.0.0.0:${port} -> 127.0.0.1\\), since \\d`,
      ),
    )
    t.match(free, `free      the ports ${port + 1}, `)
    t.equal((await daemon.client.list()).length, 1)
  })

  t.test('names: taken, made up, unknown', async (t) => {
    const taken = await daemon.cli('add', '-p', '80', '--name', 'web_svr01', '127.0.0.1')
    t.match(taken, { code: 125, stderr: /^the name web_svr01 is in use by the publication of 127/ })
    const { name, ports } = await daemon.client.add({
      backend: '127.0.0.1',
      ports: ['127.0.0.1::80'],
    })
    t.equal(name, `port-${ports[0]?.hostPort ?? 0}`)
    const unknown = await daemon.cli('rm', name, 'web_svr99')
    t.equal(unknown.stdout, `${name}\n`, 'the others are withdrawn all the same')
    t.equal(unknown.stderr, 'no such publication: web_svr99 (there are web_svr01)\n')
    t.equal(unknown.code, 125)
  })

  t.test('UDP beside TCP', async (t) => {
    const udp = await startUdpEcho(t)
    await daemon.client.add({
      name: 'dns',
      backend: '127.0.0.1',
      ports: [`${port}:${udp.port}/udp`],
    })
    t.equal((await ask(await bindUdp(t), port, 'ping')).toString(), 'ping')
    const [dns] = (await daemon.client.list()).filter(({ name }) => name === 'dns')
    t.equal(dns?.ports[0]?.connections, 1, 'a flow counts as a connection')
    await daemon.client.remove('dns')
    t.equal(await exchange(t, port, 'still'), 'still')
  })

  t.test('a check through the daemon knows its publications', async (t) => {
    await t.rejects(daemon.client.check([spec]), {
      code: 'port-allocated',
      details: { holder: { kind: 'publication', name: 'web_svr01' } },
    })
  })

  t.test('rm frees the ports at once', async (t) => {
    t.equal((await daemon.cli('rm', 'web_svr01')).stdout, 'web_svr01\n')
    await t.rejects(dial(t, port), { code: 'ECONNREFUSED' })
    t.same(leftovers(daemon.folder), [])
    t.same(readdirSync(join(daemon.folder, 'exec')), [])
    const server = createServer().listen(port, '0.0.0.0')
    await once(server, 'listening')
    server.close()
  })

  t.test('the socket is for its owner and group; SIGTERM withdraws everything', async (t) => {
    const socket = join(daemon.folder, 'socket')
    t.equal(statSync(socket).mode & 0o777, 0o660)
    await daemon.client.add({ backend: '127.0.0.1', ports: [spec] })
    t.match(await daemon.end('SIGTERM'), { code: 0 })
    await t.rejects(dial(t, port), { code: 'ECONNREFUSED' })
    t.same(leftovers(daemon.folder), [])
    t.notOk(existsSync(socket))
    const state = readFileSync(join(daemon.folder, 'data/state.json'), 'utf8')
    t.match(JSON.parse(state), { publications: [] })
  })
})

t.test('events tell what happens, a line each', async (t) => {
  const daemon = await startDaemon(t)
  const events: PublicationEvent[] = []
  let begun = false
  const reading = (async () => {
    for await (const event of daemon.client.events()) {
      if (event.publication === 'a') begun = true
      else events.push(event)
    }
  })().catch(() => undefined)
  // The stream has begun once something comes of it.
  await until(async () => {
    await daemon.client.add({ name: 'a', backend: '127.0.0.1', ports: ['127.0.0.1::80'] })
    await daemon.client.remove('a')
    return begun
  })
  const { ports } = await daemon.client.add({
    name: 'b',
    backend: '127.0.0.1',
    ports: ['127.0.0.1::80'],
  })
  process.kill(ports[0]?.pid ?? 0, 'SIGKILL')
  await until(() => events.length >= 3)
  await daemon.client.remove('b')
  await until(() => events.length >= 4)
  const port = `127.0.0.1:${ports[0]?.hostPort ?? 0}/tcp`
  t.match(events, [
    { type: 'published', publication: 'b', time: /^\d{4}/ },
    { type: 'proxy-exited', publication: 'b', port, reason: 'signal 9' },
    { type: 'proxy-restarted', publication: 'b', port },
    { type: 'withdrawn', publication: 'b' },
  ])
  await daemon.end('SIGTERM')
  await reading
})

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
  // Those of the request itself may still be closing.
  await until(() => openDescriptors(daemon.running.pid) <= before)
  t.same(await daemon.client.list(), [])
  t.same(leftovers(daemon.folder), [])
  for (let i = 0; i < 3; i++) await t.rejects(dial(t, port + i), { code: 'ECONNREFUSED' })
})

t.test('a proxy that is killed is replaced, and no client is refused', async (t) => {
  const daemon = await startDaemon(t)
  const echo = await startEcho(t)
  const spec = `127.0.0.1::${echo.port}`
  const { ports } = await daemon.client.add({ name: 'a', backend: '127.0.0.1', ports: [spec] })
  const port = ports[0]?.hostPort ?? 0
  const pid = async (): Promise<number | undefined> => (await daemon.client.get('a')).ports[0]?.pid

  const held = await dial(t, port)
  held.write('x')
  await once(held, 'data')
  const lost = once(held, 'end')
  let answered = 0
  for (let i = 0; i < 1000; i++) {
    // The wait before a restart doubles, so they are few.
    if (i % 200 === 100) {
      await until(async () => (await pid()) !== undefined)
      process.kill((await pid()) ?? 0, 'SIGKILL')
    }
    if ((await exchange(t, port, `client ${i}`)) === `client ${i}`) answered++
  }
  t.equal(answered, 1000)
  await lost
  const [status] = (await daemon.client.get('a')).ports
  t.match(status, { state: 'up', restarts: 5, reason: 'signal 9' })
})

t.test('a proxy that keeps dying shows in the status', async (t) => {
  const daemon = await startDaemon(t)
  const { ports } = await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: ['127.0.0.1::80'],
  })
  t.equal(ports.length, 1)
  let row = ''
  await until(async () => {
    const publications = await daemon.client.list()
    const status = publications[0]?.ports[0]
    if (status?.pid) process.kill(status.pid, 'SIGKILL')
    row = formatPublications(publications)
    return status?.state === 'restarting' && status.restarts >= 2
  })
  t.match(row, /\/tcp +restarting \([2-9]\): signal 9 +0/)
  t.match(await daemon.cli('rm', 'a'), { code: 0 })
  t.same(leftovers(daemon.folder), [])
})

t.test('a shim that is killed takes its proxy along, and another one follows', async (t) => {
  const daemon = await startDaemon(t)
  const echo = await startEcho(t)
  const { ports } = await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: [`127.0.0.1::${echo.port}`],
  })
  const first = ports[0]?.pid ?? 0
  const [shim = 0] = leftovers(daemon.folder).filter((pid) => pid !== first)
  process.kill(shim, 'SIGKILL')
  await until(async () => {
    const pid = (await daemon.client.get('a')).ports[0]?.pid
    return pid !== undefined && pid !== first
  })
  t.equal(await exchange(t, ports[0]?.hostPort ?? 0, 'hello'), 'hello')
  t.equal(leftovers(daemon.folder).length, 2, 'a shim and a proxy')
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

t.test('two daemons: the second says so and leaves the first alone', async (t) => {
  const daemon = await startDaemon(t)
  const data = join(daemon.folder, 'data')
  const other = [
    '-H',
    `unix://${daemon.folder}/other`,
    '--exec-root',
    join(daemon.folder, 'other-exec'),
  ]
  const second = await publish(t, ['daemon', ...other, '--data-root', data])
  t.match(second, { code: 1, stderr: `another docker-publish daemon uses ${data}: stop it` })
  const third = await publish(t, [
    ...['daemon', '-H', daemon.host, '--data-root', join(daemon.folder, 'other-data')],
    ...['--exec-root', join(daemon.folder, 'other-exec')],
  ])
  t.match(third, { code: 1, stderr: `another daemon listens on ${daemon.host}: stop it` })
  t.ok(await daemon.client.version())
})

t.test(
  "Docker's own docker-proxy as the child",
  { skip: !existsSync(ORIGINAL) && 'docker.io is not here' },
  async (t) => {
    const daemon = await startDaemon(t, {}, '--proxy-path', ORIGINAL)
    const backend = await startBackend(t, (socket: Socket) => socket.end('hello'))
    const { ports } = await daemon.client.add({
      name: 'a',
      backend: '127.0.0.1',
      ports: [`127.0.0.1::${backend.port}`],
    })
    const [port] = ports
    const { hostPort = 0, pid = 0, holdsSocket } = port ?? {}
    // This release takes no listening socket, so nobody waits while it is replaced.
    t.equal(holdsSocket, false)
    t.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), ORIGINAL)
    t.equal(await readAll(await dial(t, hostPort)), 'hello')
    process.kill(pid, 'SIGKILL')
    await until(async () => (await daemon.client.get('a')).ports[0]?.restarts === 1)
    await until(async () => (await daemon.client.get('a')).ports[0]?.state === 'up')
    t.equal(await readAll(await dial(t, hostPort)), 'hello')
    await daemon.client.remove('a')
    t.same(leftovers(daemon.folder), [])
  },
)
