import { once } from 'node:events'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { PublicationEvent } from '../../../src/controller/publication-event.js'
import { ask, bindUdp, startUdpEcho } from '../../lib/datagrams.js'
import { freeRow } from '../../lib/free-row.js'
import { kill } from '../../lib/proc.js'
import { leftovers, startDaemon } from '../../lib/publish.js'
import { assertReleased } from '../../lib/released.js'
import { dial, exchange, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

t.test('valid hosts, and how they are displayed', async (t) => {
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
    t.match(await daemon.cli('check', '-p', `${port}:80`), {
      code: 125,
      stderr: /held by {3}the publication web_svr01/,
    })
    t.equal((await daemon.cli('ls', '-q')).stdout, 'web_svr01\n')
    t.equal(
      (await daemon.cli('ls', '--format', '{{.Name}} {{.Backend}}')).stdout,
      'web_svr01 127.0.0.1\n',
    )
    t.equal(
      (await daemon.cli('--get-yargs-completions', 'docker-publish', 'rm', '')).stdout,
      'web_svr01\n',
    )
    const absent = await daemon.cli('port', 'web_svr01', '81/udp')
    t.equal(
      absent.stderr,
      `no public port '81/udp' published for web_svr01\npublished: ${echo.port}/tcp\n`,
    )
    t.equal(absent.code, 125)
    const wrong = await daemon.cli('port', 'web_svr01', 'http')
    t.match(wrong, {
      code: 2,
      stderr: /invalid port "http": expected a port, for example 80 or 53\/udp/,
    })

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
    for (const name of [`0.0.0.0:${port}`, `[::]:${port}/tcp`]) {
      const [byPort] = JSON.parse((await daemon.cli('inspect', name)).stdout) as [object]
      t.match(byPort, { name: 'web_svr01' }, name)
    }
  })

  t.test('a second publication on the port is refused, and the holder is named', async (t) => {
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
    t.equal(unknown.stderr, 'no such publication: web_svr99 (published: web_svr01)\n')
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
    await assertReleased(t, port)
    t.same(leftovers(daemon.folder), [])
    t.same(readdirSync(join(daemon.folder, 'exec')), [])
    const server = createServer().listen(port, '0.0.0.0')
    await once(server, 'listening')
    server.close()
  })

  t.test('the socket is for its owner and group; SIGTERM closes all ports', async (t) => {
    const socket = join(daemon.folder, 'socket')
    t.equal(statSync(socket).mode & 0o777, 0o660)
    await daemon.client.add({ backend: '127.0.0.1', ports: [spec] })
    t.match(await daemon.end('SIGTERM'), { code: 0 })
    await assertReleased(t, port)
    t.same(leftovers(daemon.folder), [])
    t.notOk(existsSync(socket))
    t.same(readdirSync(join(daemon.folder, 'exec')), [])
  })
})

t.test('events: a line for each', async (t) => {
  const daemon = await startDaemon(t)
  const events: PublicationEvent[] = []
  let begun = false
  const reading = (async () => {
    for await (const event of daemon.client.events()) {
      if (event.publication === 'a') begun = true
      else events.push(event)
    }
  })().catch(() => undefined)
  // The first event shows that the stream has begun.
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
  t.equal(unknown.stderr.trim().split('\n').length, 2, 'a line for each of several')
})

t.test(
  'a default IP that this host does not have is reported, and no port is published',
  async (t) => {
    const daemon = await startDaemon(t, {}, '--default-ip', '203.0.113.9')
    const added = await daemon.cli('add', '-p', '80', '127.0.0.1')
    t.match(added, { code: 125, stderr: /203\.0\.113\.9/ })
    t.match(await daemon.end('SIGTERM'), { code: 0 })
    t.match(
      await daemon.running.stderr,
      /--default-ip 203\.0\.113\.9 is not an address of this host: /,
    )
  },
)
