import { once } from 'node:events'
import { existsSync, symlinkSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { execaSync } from 'execa'
import type { Test } from 'tap'
import { IGNORED_SIGNALS } from '../../../src/linux/signals.js'
import { ORIGINAL, proxyFlags, stop } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { assertReleased, refuses } from '../../lib/released.js'
import { dial, exchange, readAll, readBytes, startBackend, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

const output = (command: string, ...args: string[]): string =>
  execaSync(command, args).stdout.trim()

export function processSuite(t: Test, target: Target): void {
  t.test('ps shows the command line, and pgrep and pidof find the name', async (t) => {
    const echo = await startEcho(t)
    const running = await target.startProxy(t, echo)
    const pid = String(running.pid)
    // The name is set in the turn of the event loop that sends the status, so an answer comes later.
    await exchange(t, running.port, 'x')
    // ps shows a script with its shell, and pidof finds it only with -x.
    const [shell, exact] = target.isShared ? ['/bin/sh ', ['-x']] : ['', []]
    const commandLine = shell + [target.program, ...proxyFlags(echo)].join(' ')
    t.equal(output('ps', '-o', 'args=', '-p', pid), commandLine)
    t.match(output('ps', '-ef'), commandLine)
    t.ok(output('pgrep', '-x', 'docker-proxy').split('\n').includes(pid))
    t.ok(
      output('pidof', ...exact, 'docker-proxy')
        .split(' ')
        .includes(pid),
    )
    await stop(running)
  })

  t.test('through a link, from another folder, with nothing but PATH', async (t) => {
    const link = join(t.testdir(), 'docker-proxy')
    symlinkSync(target.program, link)
    const echo = await startEcho(t)
    const running = await target.startProxy(t, echo, { program: link })
    t.equal(await exchange(t, running.port, 'linked'), 'linked')
    t.match(output('ps', '-o', 'args=', '-p', String(running.pid)), link)
    await stop(running)
  })

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    t.test(`${signal} ends it at once, whatever is open`, async (t) => {
      const backend = await startBackend(t, (socket) => socket.resume())
      const running = await target.startProxy(t, backend)
      const [client, [server]] = (await Promise.all([
        dial(t, running.port),
        once(backend.server, 'connection'),
      ])) as [Socket, [Socket]]
      const ended = once(server, 'end')
      running.child.kill(signal)
      t.same(await running.exit, { code: 0, signal: null })
      t.equal(await readAll(client), '')
      await ended
      await assertReleased(t, running.port)
      const lines = (await target.logOf(running)).trim().split('\n')
      t.match(JSON.parse(lines.at(-1) ?? ''), {
        level: 30,
        ...(target.isShared
          ? { launcher: running.pid }
          : { name: 'docker-proxy', pid: running.pid, signal }),
        msg: 'Proxy stopped',
        accepted: 1,
      })
    })
  }

  t.test('with the setting, a signal lets open connections end by themselves', async (t) => {
    const env = { DOCKER_PROXY_DRAIN: '1h' }
    const running = await target.startProxy(t, await startEcho(t), { env })
    const client = await dial(t, running.port)
    client.write('before')
    t.equal(await readBytes(client, 6), 'before')
    running.child.kill('SIGTERM')
    // Ctrl-C may come twice.
    running.child.kill('SIGINT')
    await until(() => refuses(running.port))
    client.write('after')
    t.equal(await readBytes(client, 5), 'after')
    client.end()
    t.equal(await readAll(client), '')
    t.same(await running.exit, { code: 0, signal: null })
    t.match(await target.logOf(running), /Waits for open connections to end/)
  })

  t.test('the setting ends an open connection in time', async (t) => {
    const backend = await startBackend(t, (socket) => socket.resume())
    const running = await target.startProxy(t, backend, { env: { DOCKER_PROXY_DRAIN: '200ms' } })
    const [client] = await Promise.all([dial(t, running.port), once(backend.server, 'connection')])
    running.child.kill('SIGTERM')
    t.equal(await readAll(client), '')
    t.same(await running.exit, { code: 0, signal: null })
    // Without a connection it does not wait.
    const idle = await target.startProxy(t, backend, { env: { DOCKER_PROXY_DRAIN: '1h' } })
    idle.child.kill('SIGTERM')
    t.same(await idle.exit, { code: 0, signal: null })
  })

  t.test('a signal that comes twice, as Ctrl-C through a parent does, is one', async (t) => {
    const echo = await startEcho(t)
    const running = await target.startProxy(t, echo)
    // Both signals are pending before it runs again.
    running.child.kill('SIGSTOP')
    running.child.kill('SIGINT')
    running.child.kill('SIGTERM')
    running.child.kill('SIGCONT')
    t.same(await running.exit, { code: 0, signal: null })
    t.match(await target.logOf(running), /Proxy stopped/)
  })

  t.test('signals that Go programs ignore are ignored', async (t) => {
    const running = await target.startProxy(t, await startEcho(t))
    for (const signal of IGNORED_SIGNALS) {
      running.child.kill(signal)
      t.equal(await exchange(t, running.port, signal), signal)
    }
    t.match(await stop(running), { code: 0 })
  })

  t.test('the port can be bound again at once, connections in TIME_WAIT or not', async (t) => {
    // The backend ends first, so the proxy's sockets are the ones in TIME_WAIT.
    const backend = await startBackend(t, (socket) => socket.end('bye'))
    const first = await target.startProxy(t, backend)
    const client = await dial(t, first.port)
    t.equal(await readAll(client), 'bye')
    await stop(first)
    client.destroy()
    const again = await target.startProxy(t, backend, { host: { port: first.port } })
    t.equal(again.port, first.port)
    await stop(again)
  })

  t.test('one port on two loopback addresses', async (t) => {
    const echo = await startEcho(t)
    const first = await target.startProxy(t, echo)
    const second = await target.startProxy(t, echo, { host: { ip: '127.0.0.2', port: first.port } })
    t.equal(await exchange(t, second.port, 'two', '127.0.0.2'), 'two')
    t.equal(await exchange(t, first.port, 'one'), 'one')
  })

  t.test(
    'a wildcard and an address on one port exclude each other, as with the original',
    async (t) => {
      const echo = await startEcho(t)
      const { port } = await target.startProxy(t, echo, { host: { ip: '0.0.0.0' } })
      const programs = existsSync(ORIGINAL) ? [target.program, ORIGINAL] : [target.program]
      for (const program of programs) {
        const running = target.run(t, proxyFlags(echo, { port }), { program })
        t.match(await running.status, `listen tcp4 127.0.0.1:${port}: bind: address already in use`)
        t.match(await running.exit, { code: 1 })
      }
    },
  )
}
