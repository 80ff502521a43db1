import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { formatPublications } from '../../src/cli/publication-table.js'
import type { PublicationEvent } from '../../src/controller/api/types.js'
import { ask, bindUdp, startUdpEcho } from '../lib/datagrams.js'
import { freeRow } from '../lib/free-row.js'
import { kill, openDescriptors } from '../lib/proc.js'
import { notRoot, ORIGINAL, PROGRAM } from '../lib/program.js'
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
        `held by   the publication web_svr01 \\(0.0.0.0:${port} -> 127.0.0.1:${echo.port}\\), since \\d`,
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
    t.same(readdirSync(join(daemon.folder, 'data')), [])
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
  kill(ports[0]?.pid)
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
      kill(await pid())
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
    if (status?.pid) kill(status.pid)
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
  kill(shim)
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
    kill(pid)
    await until(async () => (await daemon.client.get('a')).ports[0]?.restarts === 1)
    await until(async () => (await daemon.client.get('a')).ports[0]?.state === 'up')
    t.equal(await readAll(await dial(t, hostPort)), 'hello')
    await daemon.client.remove('a')
    t.same(leftovers(daemon.folder), [])
  },
)

t.test(
  'a port that is lost to another before the child has bound it gives way to the next',
  async (t) => {
    const folder = t.testdir()
    const tried = join(folder, 'tried')
    const child = join(folder, 'child')
    // The first time it finds what the kernel may have given to a connection meanwhile.
    const script = `#!/bin/sh
if [ -e '${tried}' ] || [ "$#" -lt 5 ]; then exec '${PROGRAM}-process' "$@"; fi
: >'${tried}'
printf '1\\nlisten tcp4 127.0.0.1:1: bind: address already in use' >&3
exit 1
`
    writeFileSync(child, script, { mode: 0o755 })
    const daemon = await startDaemon(t, {}, '--proxy-path', child)
    const backend = await startBackend(t, (socket: Socket) => socket.end('hello'))
    const add = (name: string, hostPort: string) =>
      daemon.client.add({
        name,
        backend: '127.0.0.1',
        ports: [`127.0.0.1:${hostPort}:${backend.port}`],
      })
    const { ports } = await add('any', '')
    t.equal(await readAll(await dial(t, ports[0]?.hostPort ?? 0)), 'hello')
    rmSync(tried)
    await t.rejects(add('one', String(freeRow(1))), { message: 'address already in use' })
    await daemon.client.remove('any')
  },
)

t.test('what is in the way of the socket is left alone, and nothing is started', async (t) => {
  const daemon = await startDaemon(t)
  const { ports } = await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: [`127.0.0.1:${freeRow(1)}:80`],
  })
  await daemon.end('SIGKILL')
  leftovers(daemon.folder).forEach(kill)
  await until(() => leftovers(daemon.folder).length === 0)
  const precious = join(daemon.folder, 'precious')
  writeFileSync(precious, 'precious')
  const roots = [
    '--data-root',
    join(daemon.folder, 'data'),
    '--exec-root',
    join(daemon.folder, 'exec'),
  ]
  for (const [path, reason] of [
    [precious, 'something that is no socket is there already'],
    [daemon.folder, 'something that is no socket is there already'],
    ['/nowhere/socket', 'there is no folder /nowhere'],
  ] as const) {
    const { code, stderr } = await publish(t, ['daemon', '-H', `unix://${path}`, ...roots])
    t.match(stderr, `docker-publish: can't listen on unix://${path}: ${reason}\n`)
    t.equal(code, 1)
  }
  t.equal(readFileSync(precious, 'utf8'), 'precious')
  t.same(leftovers(daemon.folder), [])
  await t.rejects(dial(t, ports[0]?.hostPort ?? 0), { code: 'ECONNREFUSED' })
})

t.test('a stop in the middle of an add leaves nothing half published', async (t) => {
  for (const [isolation, processes, options] of [
    ['process', 6, []],
    ['process', 6, ['--live-restore']],
    ['process', 6, existsSync(ORIGINAL) ? ['--proxy-path', ORIGINAL] : []],
    ['shared', 1, []],
    ['shared', 1, ['--live-restore']],
  ] as const) {
    const daemon = await startDaemon(t, {}, ...options)
    const first = freeRow(40)
    const adding = daemon.client.add({
      backend: '127.0.0.1',
      ports: [`127.0.0.1:${first}-${first + 39}:9000-9039`],
      isolation,
    })
    await until(() => leftovers(daemon.folder).length >= processes)
    await Promise.all([daemon.end('SIGTERM'), t.rejects(adding)])
    t.same(leftovers(daemon.folder), [], [isolation, ...options].join(' '))
    t.same(readdirSync(join(daemon.folder, 'exec')), [])
  }
})

t.test('two daemons never share a run folder', async (t) => {
  const daemon = await startDaemon(t)
  const other = join(daemon.folder, 'other')
  const exec = join(daemon.folder, 'exec')
  const args = ['daemon', '-H', `unix://${other}.sock`, '--data-root', other, '--exec-root', exec]
  t.match(await publish(t, args), {
    code: 1,
    stderr: `docker-publish: another docker-publish daemon uses ${exec}: stop it, or name another folder with --exec-root`,
  })
})

t.test('UDP flows are counted once, each with its own port', async (t) => {
  const daemon = await startDaemon(t)
  const udp = await startUdpEcho(t)
  const port = freeRow(1)
  await daemon.client.add({ name: 'a', backend: '127.0.0.1', ports: [`${port}:${udp.port}/udp`] })
  await ask(await bindUdp(t), port, 'x')
  const { ports } = await daemon.client.get('a')
  t.same(
    ports.map(({ hostIp, connections }) => [hostIp, connections]),
    [
      ['0.0.0.0', 1],
      ['::', 0],
    ],
  )
})

t.test('a refusal for programs: --format json', async (t) => {
  const daemon = await startDaemon(t)
  const port = freeRow(1)
  await daemon.client.add({ name: 'a', backend: '127.0.0.1', ports: [`127.0.0.1:${port}:80`] })
  const add = ['add', '-p', `127.0.0.1:${port}:80`, '127.0.0.1', '--format', 'json']
  const { code, stdout, stderr } = await daemon.cli(...add)
  t.equal(code, 125)
  t.equal(stdout, '')
  t.match(JSON.parse(stderr), {
    code: 'port-allocated',
    message: `Bind for 127.0.0.1:${port} failed: port is already allocated`,
    holder: { kind: 'publication', name: 'a' },
    suggestions: { ports: [Number, Number, Number] },
  })
  const unknown = await daemon.cli('rm', 'x', 'y')
  t.equal(unknown.stderr.trim().split('\n').length, 2, 'each of several is told')
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
  // Twice as long as it takes to look at an adopted proxy.
  await delay(1500)
  for (const socket of silent) socket.destroy()
  await until(() => openDescriptors(next.running.pid) < 40)
  t.match((await next.client.get('a')).ports[0], { state: 'up', pid: ports[0]?.pid, restarts: 0 })
  t.match(await next.end('SIGTERM'), { code: 0 })
  t.same(leftovers(next.folder), [])
})
