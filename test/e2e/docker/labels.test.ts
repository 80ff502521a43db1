import t from 'tap'
import { IMAGE } from '../../lib/engine-namespace.js'
import { freeRow } from '../../lib/free-row.js'
import { missingForEngine, startOwnEngine } from '../../lib/own-engine.js'
import { until } from '../../lib/until.js'

/* Publications that labels of containers ask for, with a real engine. */

/** Containers that start at once. More are for the machine of whoever changes this. */
const CONTAINERS = Number(process.env['CONTAINERS'] ?? 6)

t.test('with a real engine', { skip: missingForEngine() }, async (t) => {
  const engine = await startOwnEngine(t)
  const { command: docker, ask, limits, remove } = engine
  const daemon = await engine.startDaemon('--default-ip', '127.0.0.1')
  const run = (name: string, ...labels: string[]): Promise<string> =>
    docker(
      ...['run', '-d', '--name', name, '--hostname', name, ...limits],
      ...labels.flatMap((label) => ['--label', `docker-publish.${label}`]),
      IMAGE,
    )
  const leadsTo = (port: number, answer: string): Promise<void> =>
    until(async () => (await ask(port)) === answer)
  const removeAll = async (...names: string[]): Promise<void> => {
    await remove(...names)
    await until(async () => (await daemon.client.list()).length === 0)
  }

  t.test('ports are published when the container starts, and end with it', async (t) => {
    const port = freeRow(1)
    await run('web', `ports=${port}:80, 5353:53/udp`, 'when-stopped=hold')
    await leadsTo(port, 'web')
    t.match(await daemon.client.get('web'), {
      ...{ container: 'web', whenStopped: 'hold' },
      ports: [
        { hostIp: '127.0.0.1', hostPort: port },
        { hostIp: '127.0.0.1', protocol: 'udp' },
      ],
    })
    await removeAll('web')
  })

  t.test('of two containers the first keeps the port, and the other one waits', async (t) => {
    const port = freeRow(1)
    await run('first', `ports=${port}:80`)
    await leadsTo(port, 'first')
    await run('second', `ports=${port}:80`)
    await until(async () => (await daemon.client.list()).length === 2)
    const { stdout } = await daemon.cli('ls')
    t.match(
      stdout,
      new RegExp(
        `^second +second +127\\.0\\.0\\.1:${port}->80/tcp +waiting: Bind for 127\\.0\\.0\\.1:${port} failed: port is already allocated \\(held by first\\) `,
        'm',
      ),
    )
    t.equal(await ask(port), 'first')
    await remove('first')
    await leadsTo(port, 'second')
    await removeAll('second')
  })

  t.test('what a user has withdrawn stays so until the container starts again', async (t) => {
    const port = freeRow(1)
    await run('mine', `ports=${port}:80`)
    await leadsTo(port, 'mine')
    t.match(await daemon.cli('rm', 'mine'), { code: 0 })
    await docker('rename', 'mine', 'renamed')
    t.equal(await ask(port), 'refused')
    await docker('restart', '-t', '0', 'renamed')
    await leadsTo(port, 'mine')
    await removeAll('renamed')
  })

  t.test('a container that waits can be told not to', async (t) => {
    const port = freeRow(1)
    await run('holder', `ports=${port}:80`)
    await leadsTo(port, 'holder')
    await run('waiter', `ports=${port}:80`)
    await until(async () => (await daemon.client.list()).length === 2)
    t.match(await daemon.cli('rm', 'waiter'), { code: 0 })
    t.equal((await daemon.client.list()).length, 1)
    await removeAll('holder', 'waiter')
  })

  t.test('rm --all leaves nothing, though a container waits for a name', async (t) => {
    const port = freeRow(2)
    const other = port + 1
    t.match(
      await daemon.cli('add', '-p', `${port}:80`, '--name', 'same', '--address-only', '127.0.0.9'),
      { code: 0 },
    )
    await run('same', `ports=${other}:80`)
    await until(async () => (await daemon.client.list()).length === 2)
    const { code, stdout } = await daemon.cli('rm', '--all')
    t.equal(code, 0)
    t.equal(stdout, 'same\n')
    t.strictSame(await daemon.client.list(), [])
    await remove('same')
  })

  t.test('wrong labels are reported, and others go on', async (t) => {
    const port = freeRow(1)
    await run('wrong', 'ports=80:x')
    await run('strange', 'ports=81:80', 'nope=1')
    await run('odd', 'ports=82:80', 'when-stopped=never')
    await run('twice', 'ports=83:80, 83:81')
    await run('right', `ports=${port}:80`)
    await leadsTo(port, 'right')
    await until(async () => (await daemon.client.list()).length === 5)
    const errors = (await daemon.client.list()).map(({ name, labelError }) => [name, labelError])
    t.match(Object.fromEntries(errors), {
      wrong: /^invalid port "80:x"/,
      strange: 'unknown label docker-publish.nope: expected docker-publish.ports',
      odd: 'invalid docker-publish.when-stopped "never": expected refuse, hold, close-port',
      twice: 'the label docker-publish.ports names 83/tcp twice',
      right: undefined,
    })
    t.match((await daemon.cli('ls')).stdout, /^twice +twice +label error: the label /m)
    t.match(await daemon.cli('port', 'odd'), { code: 125, stderr: /^odd has no ports: invalid / })
    t.match(await daemon.cli('rm', 'odd'), { code: 0 })
    t.equal((await daemon.client.list()).length, 4)
    await remove('wrong', 'strange', 'odd', 'twice', 'right')
  })

  t.test('a daemon that starts later finds them all', async () => {
    // In a namespace of its own, all ports are free.
    const first = 20_000
    await daemon.end('SIGKILL')
    const names = Array.from({ length: CONTAINERS }, (_, i) => `many-${i}`)
    for (const [i, name] of names.entries()) await run(name, `ports=${first + i}:80`)
    const next = await daemon.again()
    await until(async () => (await next.client.list()).length === CONTAINERS)
    for (const [i, name] of names.entries()) await leadsTo(first + i, name)
    await next.end('SIGKILL')
    const last = await daemon.again()
    await until(async () => {
      const publications = await last.client.list()
      return (
        publications.filter(({ containerState }) => containerState === 'running').length ===
        CONTAINERS
      )
    })
    await remove(...names)
    await until(async () => (await last.client.list()).length === 0)
  })
})
