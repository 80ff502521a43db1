import type { RequestListener } from 'node:http'
import t from 'tap'
import { inspectReply, startFakeEngine } from '../../lib/fake-engine.js'
import { serveHttp } from '../../lib/http-socket.js'
import { startNamespace } from '../../lib/namespace.js'
import { notRoot, run } from '../../lib/program.js'
import { PUBLISH } from '../../lib/publish.js'

/* Ports of dockerd that no docker-proxyd serves, in a namespace without other docker-proxies. */

const skip = notRoot('to make network namespaces')
const OWN_PROCESS = { DOCKER_PROXY_ISOLATION: 'process' }
const CONTAINER = '127.0.0.2'

t.test('docker-proxies are listed, with the names of their containers', { skip }, async (t) => {
  const host = await startNamespace(t)
  const list = async (
    dockerHost: string,
    ...args: string[]
  ): Promise<{ code: number | null; stdout: string; stderr: string }> => {
    const running = run(t, ['--net', `--target=${host.pid}`, '--', PUBLISH, 'ls', '-a', ...args], {
      program: 'nsenter',
      status: 'ignore',
      env: { DOCKER_HOST: dockerHost },
    })
    const [{ code }, stdout, stderr] = await Promise.all([
      running.exit,
      running.stdout,
      running.stderr,
    ])
    return { code, stdout, stderr }
  }
  const fake = await startFakeEngine(t)
  const id = 'a'.repeat(64)
  fake.containers.set(id, inspectReply(id, 'web_svr01', CONTAINER))
  const engine = fake.host

  t.match(await list(engine), {
    code: 0,
    stderr:
      /no docker-proxy of dockerd runs here; with "userland-proxy": false dockerd starts none\n$/,
  })

  const { pid } = await host.startProxy(
    { ip: CONTAINER, port: 80 },
    { port: 8080 },
    { env: OWN_PROCESS },
  )
  const { stdout } = await list(engine)
  t.match(stdout, /^web_svr01 \(docker\) +127\.0\.0\.2 +127\.0\.0\.1:8080->80\/tcp +up +0 +- +/m)
  const { dockerPorts } = JSON.parse((await list(engine, '--format', 'json')).stdout) as {
    dockerPorts: { since?: string }[]
  }
  t.match(dockerPorts, [{ pid, container: 'web_svr01', hostPort: 8080, connections: 0 }])
  t.ok(Date.parse(dockerPorts[0]?.since ?? '') <= Date.now())

  const nameless = /^\(docker\) +127\.0\.0\.2 +127\.0\.0\.1:8080->80\/tcp +up /m
  const answers: Record<string, RequestListener> = {
    'an error': (_, response) => response.writeHead(500).end('{"message":"broken"}'),
    'what is no JSON': (_, response) => response.end('<html>'),
    nothing: () => undefined,
  }
  for (const [what, listener] of Object.entries(answers)) {
    await t.test(what, async (t) => {
      t.match((await list(await serveHttp(t, listener))).stdout, nameless)
    })
  }
  t.match((await list('unix:///proc/none')).stdout, nameless, 'no dockerd')
  t.match((await list('ssh://192.0.2.1')).stdout, nameless, 'a dockerd on another host')
})
