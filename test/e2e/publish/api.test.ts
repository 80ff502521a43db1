import { request, type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import { json } from 'node:stream/consumers'
import { execaSync } from 'execa'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import t, { type Test } from 'tap'
import { inspectReply, startFakeEngine } from '../../lib/fake-engine.js'
import { freeRow } from '../../lib/free-row.js'
import { missing } from '../../lib/program.js'
import { startDaemon } from '../../lib/publish.js'

interface Document {
  readonly openapi: string
  readonly paths: Record<string, Record<string, { responses: Record<string, unknown> }>>
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

async function ask(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const headers = body === undefined ? {} : { 'content-type': 'application/json' }
  const sent = request({ socketPath, method, path, headers, agent: false })
  sent.end(typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body))
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const { statusCode: status = 0 } = response
  if (status !== 204) return { status, body: await json(response) }
  response.resume()
  return { status, body: undefined }
}

async function statusOf(socketPath: string, method: string, path: string): Promise<number> {
  const sent = request({ socketPath, method, path, agent: false }).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode ?? 0
}

/** Checks responses against the daemon's own OpenAPI document. */
async function openDocument(t: Test, socketPath: string) {
  const { body } = await ask(socketPath, 'GET', '/v1/openapi.json')
  const document = body as Document
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  ajv.addSchema(document, 'api')
  const answered = new Set<string>()
  return {
    document,
    answered,
    /** The response, whose status and body must match the document. */
    async ask(method: string, path: string, request?: unknown, template = path): Promise<Answer> {
      const answer = await ask(socketPath, method, path, request)
      const operation = document.paths[template]?.[method.toLowerCase()]
      const { status } = answer
      const key = [String(status), `${String(status)[0] ?? ''}XX`].find(
        (k) => operation?.responses[k],
      )
      if (!key) {
        t.fail(`${method} ${path} answers ${status}, which the document does not have`)
        return answer
      }
      answered.add(`${method} ${template} ${key}`)
      if (status === 204) return answer
      const pointer = [
        'paths',
        template,
        method.toLowerCase(),
        'responses',
        key,
        'content',
        'application/json',
        'schema',
      ]
      const escaped = pointer.map((part) =>
        encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')),
      )
      const validate = ajv.compile({ $ref: `api#/${escaped.join('/')}` })
      t.ok(validate(answer.body), `${method} ${path} ${status}: ${JSON.stringify(validate.errors)}`)
      return answer
    },
  }
}

t.test('the answers are as the OpenAPI document says', async (t) => {
  const engine = await startFakeEngine(t)
  const id = 'a'.repeat(64)
  engine.containers.set(id, inspectReply(id, 'web', '172.17.0.9'))
  const daemon = await startDaemon(t, { env: { DOCKER_HOST: engine.host } })
  const socket = `${daemon.folder}/socket`
  const api = await openDocument(t, socket)
  const port = freeRow(2)
  const container = '/v1/containers/{name}'
  const ports = [`${port}:80`]
  const publication = '/v1/publications/{name}'
  t.match(api.document.openapi, /^3\.1/)

  t.match(await api.ask('GET', '/v1/version'), { body: { apiVersion: 'v1' } })
  t.same((await api.ask('GET', '/v1/publications')).body, [])
  const added = await api.ask('POST', '/v1/publications', {
    name: 'web_svr01',
    backend: '127.0.0.9',
    ports,
  })
  t.match(added, { status: 201, body: { name: 'web_svr01', ports: [{ hostPort: port }, {}] } })
  t.match(await api.ask('GET', '/v1/publications'), { body: [{ name: 'web_svr01' }] })
  t.match(await api.ask('GET', '/v1/publications/web_svr01', undefined, publication), {
    body: { backend: '127.0.0.9' },
  })
  t.match(await api.ask('POST', '/v1/check', { ports: [`${port + 1}:80`] }), {
    body: [{ ip: '0.0.0.0', port: port + 1 }, { ip: '::' }],
  })

  const conflict = {
    status: 409,
    body: {
      code: 'port-allocated',
      message: `Bind for 0.0.0.0:${port} failed: port is already allocated`,
      holder: { kind: 'publication', name: 'web_svr01', backend: '127.0.0.9:80' },
      suggestions: { ports: [Number, Number, Number] },
    },
  }
  t.match(await api.ask('POST', '/v1/check', { ports }), conflict)
  t.match(await api.ask('POST', '/v1/publications', { backend: '127.0.0.9', ports }), conflict)
  t.match(
    await api.ask('POST', '/v1/publications', {
      name: 'web_svr01',
      backend: '127.0.0.9',
      ports: ['80'],
    }),
    {
      status: 409,
      body: { code: 'name-in-use' },
    },
  )
  t.match(await api.ask('GET', '/v1/publications/x', undefined, publication), {
    status: 404,
    body: { code: 'no-such-publication', message: 'no such publication: x (published: web_svr01)' },
  })
  for (const wrong of [
    { backend: 'web', ports: ['80'] },
    { backend: '127.0.0.9', ports: [] },
    { backend: '127.0.0.9', ports: ['eighty'] },
    { backend: '127.0.0.9', ports: [80] },
    { backend: '127.0.0.9', ports: ['80'], colour: 'red' },
    { ports: ['80'] },
    'no JSON',
  ]) {
    t.match(await api.ask('POST', '/v1/publications', wrong), {
      status: 400,
      body: { code: 'bad-request' },
    })
  }
  const options = { 'max-connections': '5' }
  t.match(await api.ask('PATCH', '/v1/publications/web_svr01', { options }, publication), {
    status: 200,
    body: { options },
  })
  t.match(
    await api.ask('PATCH', '/v1/publications/web_svr01', { options: { a: '1' } }, publication),
    {
      status: 400,
      body: { message: /^unknown option "a": expected / },
    },
  )
  t.match(
    await api.ask(
      'GET',
      '/v1/publications/web_svr01/connections',
      undefined,
      `${publication}/connections`,
    ),
    { status: 200, body: [] },
  )
  const log = `${publication}/log`
  t.match(await api.ask('GET', '/v1/publications/nope/log', undefined, log), {
    status: 404,
    body: { code: 'no-such-publication' },
  })
  t.match(await api.ask('GET', '/v1/publications/web_svr01/log?tail=few', undefined, log), {
    status: 400,
    body: { message: /tail/ },
  })
  const upgrade = `${publication}/upgrade`
  t.match(await api.ask('POST', '/v1/publications/web_svr01/upgrade', undefined, upgrade), {
    status: 200,
    body: { oldConnections: 0 },
  })
  t.match(
    await api.ask('POST', '/v1/publications/web_svr01/upgrade?drain=soon', undefined, upgrade),
    { status: 400, body: { message: /^invalid drain "soon": expected / } },
  )
  t.match(await api.ask('DELETE', '/v1/publications/web_svr01', undefined, publication), {
    status: 204,
  })
  t.match(await api.ask('DELETE', '/v1/publications/web_svr01', undefined, publication), {
    status: 404,
  })

  const followed = await api.ask('POST', '/v1/publications', {
    ...{ container: 'web', ports: [`127.0.0.1:${port}:80`], whenStopped: 'hold', keep: true },
  })
  t.match(followed, {
    status: 201,
    body: { container: 'web', backend: '172.17.0.9', containerState: 'running', keep: true },
  })
  t.match(await api.ask('GET', '/v1/containers/web', undefined, container), {
    status: 200,
    body: {
      ports: [{ port: 80, isExposed: true, published: [{ publication: `port-${port}` }] }],
    },
  })
  t.match(await api.ask('GET', '/v1/containers/wep', undefined, container), {
    status: 404,
    body: { code: 'no-such-container', message: 'no such container: wep (did you mean web?)' },
  })
  const other = { container: 'web', ports: ['80'], engine: 'unix:///nonexistent/other.sock' }
  t.match(await api.ask('POST', '/v1/publications', other), {
    ...{ status: 409, body: { code: 'other-engine' } },
  })
  const both = { container: 'web', backend: '127.0.0.9', ports: ['80'] }
  t.match(await api.ask('POST', '/v1/publications', both), { status: 400 })

  // There may be docker-proxies of other tests.
  t.match(await api.ask('GET', '/v1/docker-ports'), { status: 200, body: Array })
  t.equal(await statusOf(socket, 'HEAD', '/v1/events'), 404, 'a stream without a reader')

  for (const [path, operations] of Object.entries(api.document.paths)) {
    for (const method of Object.keys(operations)) {
      const name = `${method.toUpperCase()} ${path}`
      const seen = [...api.answered].some((each) => each.startsWith(`${name} 2`))
      // Streams of lines have tests of their own.
      if (!['/v1/events', log].includes(path)) t.ok(seen, `${name} was asked`)
    }
  }
  t.match(await ask(socket, 'GET', '/v1/publications/%zz'), {
    status: 400,
    body: { code: 'bad-request' },
  })
  const long = 'x'.repeat(128)
  await api.ask('POST', '/v1/publications', {
    name: long,
    backend: '127.0.0.9',
    ports: ['127.0.0.1::80'],
  })
  t.match(await ask(socket, 'DELETE', `/v1/publications/${long}`), { status: 204 })
  t.match(await ask(socket, 'GET', '/v2/anything'), {
    status: 404,
    body: { code: 'no-such-route' },
  })
})

t.test(
  'driven by curl over the unix socket',
  { skip: missing('/usr/bin/curl', 'curl') },
  async (t) => {
    const daemon = await startDaemon(t)
    const curl = (...args: string[]): string =>
      execaSync('curl', ['-sS', '--unix-socket', `${daemon.folder}/socket`, ...args]).stdout
    const url = 'http://docker-publish/v1/publications'
    const body = JSON.stringify({ backend: '127.0.0.9', ports: ['127.0.0.1::80'], name: 'a' })
    t.match(JSON.parse(curl('-H', 'content-type: application/json', '-d', body, url)), {
      name: 'a',
    })
    t.match(JSON.parse(curl(url)), [{ name: 'a', ports: [{ state: 'up' }] }])
    t.equal(curl('-X', 'DELETE', '-w', '%{http_code}', `${url}/a`), '204')
  },
)
