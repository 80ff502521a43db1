import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  EngineHostError,
  findEngineHost,
  formatEngineHost,
  parseEngineHost,
  refuseRemoteEngine,
} from '../../src/docker/engine-host.js'

const parse = (text: string) => parseEngineHost(text, 'DOCKER_HOST', undefined)

t.test('hosts in all forms, and back', async (t) => {
  const forms = {
    'unix:///run/docker.sock': { kind: 'unix', path: '/run/docker.sock' },
    'tcp://127.0.0.1:2375': { kind: 'tcp', host: '127.0.0.1', port: 2375 },
    'tcp://[::1]:4000': { kind: 'tcp', host: '::1', port: 4000 },
    'ssh://me@localhost:22': { kind: 'ssh', host: 'localhost', user: 'me', port: 22 },
    'ssh://localhost': { kind: 'ssh', host: 'localhost', user: '', port: undefined },
  }
  for (const [text, host] of Object.entries(forms)) {
    t.same(parse(text), host)
    t.equal(formatEngineHost(parse(text)), text)
  }
  t.match(parse('tcp://127.0.0.1'), { port: 2375 })
})

t.test('what is no host is quoted, and the forms are named', async (t) => {
  for (const text of [
    'docker',
    'unix://',
    'unix://relative',
    'tcp://',
    'http://x',
    'tcp://h:1/x',
  ]) {
    t.throws(() => parse(text), {
      code: 'EENGINEHOST',
      message: `invalid DOCKER_HOST ${JSON.stringify(text)}: expected unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]`,
    })
  }
})

t.test('DOCKER_HOST comes before a context, and its TLS from the environment', async (t) => {
  const env = { DOCKER_HOST: 'tcp://127.0.0.1', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/certs' }
  t.same(findEngineHost({ ...env, DOCKER_CONTEXT: 'x' }), {
    ...{ kind: 'tcp', host: '127.0.0.1', port: 2376 },
    tls: {
      ...{ ca: '/certs/ca.pem', cert: '/certs/cert.pem', key: '/certs/key.pem' },
      isVerified: true,
    },
  })
})

t.test('contexts: the current one, a named one, and a missing one', async (t) => {
  const id = (name: string): string => createHash('sha256').update(name).digest('hex')
  const meta = (host: string) => ({
    'meta.json': JSON.stringify({ Endpoints: { docker: { Host: host, SkipTLSVerify: true } } }),
  })
  const folder = t.testdir({
    'config.json': '{"currentContext":"far"}',
    contexts: {
      meta: {
        [id('far')]: meta('tcp://127.0.0.1:2376'),
        [id('near')]: meta('unix:///run/near.sock'),
      },
      tls: { [id('far')]: { docker: { 'ca.pem': '' } } },
    },
  })
  const env = { DOCKER_CONFIG: folder }
  t.match(findEngineHost(env), {
    ...{ kind: 'tcp', port: 2376 },
    tls: { ca: join(folder, 'contexts/tls', id('far'), 'docker/ca.pem'), isVerified: false },
  })
  t.same(findEngineHost({ ...env, DOCKER_CONTEXT: 'near' }), {
    kind: 'unix',
    path: '/run/near.sock',
  })
  t.throws(() => findEngineHost({ ...env, DOCKER_CONTEXT: 'no' }), {
    message: `there is no docker context "no" in ${folder}: "docker context ls" lists them`,
  })
  const broken = t.testdir({ 'config.json': '{' })
  t.throws(() => findEngineHost({ DOCKER_CONFIG: broken }), { code: 'EENGINEHOST' })
})

t.test('without a setting: the first socket that exists', async (t) => {
  const folder = t.testdir({ podman: { 'podman.sock': '' } })
  const host = findEngineHost({ DOCKER_CONFIG: folder, XDG_RUNTIME_DIR: folder })
  // This machine may run Docker.
  const socket = existsSync('/var/run/docker.sock')
    ? '/var/run/docker.sock'
    : join(folder, 'podman/podman.sock')
  t.same(host, { kind: 'unix', path: socket })
})

t.test('an engine on another host is refused', async (t) => {
  for (const local of ['unix:///x', 'tcp://127.0.0.1', 'tcp://[::1]:1', 'ssh://127.0.0.1']) {
    await refuseRemoteEngine(parse(local))
  }
  await t.rejects(refuseRemoteEngine(parse('tcp://192.0.2.7:2376')), {
    message:
      "tcp://192.0.2.7:2376 is another host, and its containers can't be reached from here: run docker-publish on that host",
  })
  await t.rejects(refuseRemoteEngine(parse('ssh://me@192.0.2.7')), EngineHostError)
})
