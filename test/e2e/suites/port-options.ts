import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freeRow } from '../../lib/free-row.js'
import { missing, proxyFlags, READY, stop } from '../../lib/program.js'
import { askDnsdist, DNSDIST_CLIENTS, startDnsdist } from '../../lib/dnsdist.js'
import {
  askProxyProtocolServer,
  BALANCERS,
  SERVERS,
  startBalancer,
  startProxyProtocolServer,
} from '../../lib/proxy-protocol-servers.js'
import { dial, exchange, isAnswered, readBytes, startEcho } from '../../lib/sockets.js'
import type { Target } from '../../lib/target.js'

/** Options of a port beyond Docker's flags, by the environment and the settings file. */
export function portOptionsSuite(t: Test, target: Target): void {
  for (const server of SERVERS) {
    const skip = missing(`/usr/sbin/${server}`, server)
    t.test(`a real ${server} learns the client's address`, { skip }, async (t) => {
      for (const engine of target.engines) {
        for (const version of ['v1', 'v2']) {
          const backend = await startProxyProtocolServer(t, server)
          const env = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_SEND_PROXY: version }
          const running = await target.startProxy(t, backend, { env })
          const { answer, clientPort } = await askProxyProtocolServer(running.port)
          t.equal(answer, `127.0.0.1 ${clientPort} ${running.port}`, `${engine} ${version}`)
          await stop(running)
        }
      }
    })
  }

  for (const balancer of BALANCERS) {
    const [name, version] = balancer
    const skip = missing(`/usr/sbin/${name}`, name)
    t.test(`the client that a real ${name} announces by ${version}`, { skip }, async (t) => {
      for (const engine of target.engines) {
        for (const sendProxy of ['v1', 'v2']) {
          const server = await startProxyProtocolServer(t, 'haproxy')
          const env = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_SEND_PROXY: sendProxy }
          const running = await target.startProxy(t, server, {
            env: { ...env, DOCKER_PROXY_ACCEPT_PROXY: '127.0.0.0/8' },
          })
          const { port } = await startBalancer(t, balancer, running.port)
          const { answer, clientPort } = await askProxyProtocolServer(port)
          t.equal(answer, `127.0.0.1 ${clientPort} ${port}`, `${engine} ${sendProxy}`)
          await stop(running)
        }
      }
    })
  }

  const noDnsdist = missing('/usr/bin/dnsdist', 'dnsdist')
  t.test('a real dnsdist learns the clients of UDP', { skip: noDnsdist }, async (t) => {
    const server = await startDnsdist(t)
    for (const engine of target.engines) {
      const env = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_SEND_PROXY: 'v2' }
      const port = freeRow(1)
      const flags = proxyFlags(server, { port }).map((flag) => (flag === 'tcp' ? 'udp' : flag))
      const running = target.run(t, flags, { env })
      t.equal(await running.status, READY)
      for (const [client, answer] of DNSDIST_CLIENTS) {
        t.equal(await askDnsdist(t, client, port), answer, engine)
      }
      await stop(running)
    }
  })

  t.test('options of the settings file count, and those of the environment more', async (t) => {
    const file = join(t.testdir(), 'settings.json')
    writeFileSync(file, '{"max-connections": 1, "when-full": "refuse", "access-log": "on"}')
    const echo = await startEcho(t)
    for (const [env, isServed] of [
      [{}, false],
      [{ DOCKER_PROXY_MAX_CONNECTIONS: '2' }, true],
    ] as const) {
      const running = await target.startProxy(t, echo, {
        env: { DOCKER_PROXY_CONFIG: file, ...env },
      })
      const first = await dial(t, running.port)
      const { localPort = 0 } = first
      first.write('x')
      await readBytes(first, 1)
      const second = await dial(t, running.port)
      second.write('y')
      t.equal(await isAnswered(second), isServed)
      second.destroy()
      first.end()
      await once(first.resume(), 'close')
      await stop(running)
      const lines = (await target.logOf(running)).split('\n').filter((line) => line !== '')
      const access = lines
        .map((line) => JSON.parse(line) as { msg: string; client?: string })
        .filter(
          ({ msg, client }) => msg === 'Connection closed' && client?.endsWith(`:${localPort}`),
        )
      t.match(access, [
        {
          ...{ level: 30, backend: `${echo.ip}:${echo.port}`, bytesIn: 1, bytesOut: 1 },
          ...{
            port: /^127\.0\.0\.1:\d+\/tcp$/,
            ending: 'finished',
            dialMs: Number,
            durationMs: Number,
          },
        },
      ])
    }
  })

  t.test('a port whose clients came too fast serves the next one', async (t) => {
    const echo = await startEcho(t)
    for (const engine of target.engines) {
      const env = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_MAX_CONNECTION_RATE: '1' }
      const running = await target.startProxy(t, echo, { env })
      for (const text of ['first', 'second', 'third']) {
        t.equal(await exchange(t, running.port, text), text, engine)
      }
      await stop(running)
    }
  })

  t.test('a client that is not allowed is disconnected', async (t) => {
    const echo = await startEcho(t)
    const env = { DOCKER_PROXY_ALLOW: '10.0.0.0/8, 127.0.0.1', DOCKER_PROXY_DENY: '127.0.0.1' }
    const denying = await target.startProxy(t, echo, { env })
    const client = await dial(t, denying.port)
    t.equal(await isAnswered(client), false)
    await stop(denying)
    const allowing = await target.startProxy(t, echo, { env: { ...env, DOCKER_PROXY_DENY: 'off' } })
    t.equal(await exchange(t, allowing.port, 'served'), 'served')
    await stop(allowing)
  })

  t.test('a wrong option is refused with one line', async (t) => {
    const env = { DOCKER_PROXY_MAX_CONNECTIONS: 'many' }
    const running = target.run(t, ['-host-ip', '127.0.0.1', '-host-port', '0'], { env })
    const message =
      'invalid setting "many" for DOCKER_PROXY_MAX_CONNECTIONS: use 1 to 1000000, or off'
    t.equal(await running.stderr, `${message}\n`)
    t.equal(await running.status, `1\n${message}`)
    t.match(await running.exit, { code: 2 })
  })
}
