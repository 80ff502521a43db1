import { once } from 'node:events'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { EngineClient } from '../../src/docker/engine-client.js'
import { parseEngineHost } from '../../src/docker/engine-host.js'
import { makeCertificates } from '../lib/certificates.js'
import { startFakeEngine } from '../lib/fake-engine.js'
import { serveHttp } from '../lib/http-socket.js'

const client = (host: string): EngineClient =>
  new EngineClient(parseEngineHost(host, 'DOCKER_HOST', undefined))

t.test('refusals are quoted in printable form', async (t) => {
  const host = await serveHttp(t, (request, response) => {
    response.statusCode = 500
    const replies: Record<string, string> = {
      '/json': '{"message":"no \\u001b[31mway"}',
      '/text': 'plain',
      '/nothing': '',
    }
    response.end(replies[request.url ?? ''])
  })
  await t.rejects(client(host).get('/json'), {
    status: 500,
    message: `${host} answered 500: no \\x1b[31mway`,
  })
  await t.rejects(client(host).get('/text'), { message: `${host} answered 500: plain` })
  await t.rejects(client(host).get('/nothing'), { message: /500: without an explanation$/ })
})

t.test('an answer that is no JSON', async (t) => {
  const host = await serveHttp(t, (_request, response) => response.end('<html>'))
  await t.rejects(client(host).get('/x'), { message: /^can't ask unix:/ })
})

t.test('TLS with a certificate of the client', async (t) => {
  const folder = t.testdir({})
  makeCertificates(folder)
  const read = (name: string): Buffer => readFileSync(join(folder, name))
  const options = { ca: read('ca.pem'), cert: read('server.pem'), key: read('server.key') }
  const server = createServer({ ...options, requestCert: true, rejectUnauthorized: true })
  server.on('request', (_request, response) => response.end('{"tls":true}'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const tls = {
    ...{ ca: join(folder, 'ca.pem'), cert: join(folder, 'client.pem') },
    ...{ key: join(folder, 'client.key'), isVerified: true },
  }
  const host = parseEngineHost(`tcp://127.0.0.1:${port}`, 'DOCKER_HOST', tls)
  t.same(await new EngineClient(host).get('/x'), { tls: true })
  const stranger = { ...tls, ca: join(folder, 'none'), cert: join(folder, 'none') }
  await t.rejects(new EngineClient({ ...host, tls: stranger } as typeof host).get('/x'), {
    name: 'EngineError',
  })
})

t.test('ssh reaches the engine by docker system dial-stdio', async (t) => {
  const engine = await startFakeEngine(t)
  const folder = t.testdir({})
  const ssh = join(folder, 'ssh')
  const script = `
    const { connect } = require('node:net')
    require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'args'))}, process.argv.slice(2).join(' '))
    const socket = connect(${JSON.stringify(engine.host.replace('unix://', ''))})
    process.stdin.pipe(socket).pipe(process.stdout)`
  writeFileSync(ssh, `#!${process.execPath}\n${script}`)
  chmodSync(ssh, 0o755)
  const { PATH } = process.env
  process.env['PATH'] = `${folder}:${PATH ?? ''}`
  t.teardown(() => (process.env['PATH'] = PATH))
  t.same(await client('ssh://me@127.0.0.1:2222').get('/containers/json'), [])
  t.equal(
    readFileSync(join(folder, 'args'), 'utf8'),
    '-l me -p 2222 -o BatchMode=yes -T -- 127.0.0.1 docker system dial-stdio',
  )
})

t.test('an engine that ends the connection, and a missing one', async (t) => {
  const host = await serveHttp(t, (request) => request.socket.destroy())
  await t.rejects(client(host).connect(), { name: 'EngineError', status: undefined })
  await t.rejects(client('unix:///nonexistent/docker.sock').connect(), {
    message: "can't ask unix:///nonexistent/docker.sock: no such file or directory",
  })
})
