import { openSync, writeSync } from 'node:fs'
import { request } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { startDaemon } from '../lib/publish.js'
import { startProxyd } from '../lib/proxyd.js'
import { exchange, startEcho } from '../lib/sockets.js'

/* The same for programs that run: they answer, and go on. */

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 2_000)
const BAD_REQUEST = 400
const INTERNAL_ERROR = 500

t.test('bodies and paths of the API', async (t) => {
  const daemon = await startDaemon(t)
  const send = async (method: string, path: string, body: string): Promise<number> => {
    const sent = request({
      ...{ socketPath: daemon.host.replace('unix://', ''), method, path },
      headers: { 'content-type': 'application/json' },
    })
    sent.on('error', () => undefined)
    sent.end(body)
    const [response] = (await once(sent, 'response')) as [
      NodeJS.ReadableStream & { statusCode: number },
    ]
    response.resume()
    await once(response, 'end')
    return response.statusCode
  }
  // Nothing is published: the port is taken, or the request is wrong.
  const taken = await startEcho(t)
  const publication = fc.record(
    {
      backend: fc.oneof(fc.constant('127.0.0.1'), fc.string()),
      ports: fc.oneof(fc.array(fc.constant(`127.0.0.1:${taken.port}:80`)), fc.json()),
      name: fc.string(),
      isolation: fc.oneof(fc.constantFrom('process', 'shared'), fc.string()),
      options: fc.dictionary(fc.string(), fc.string()),
      keep: fc.anything(),
      more: fc.json(),
    },
    { requiredKeys: [] },
  )
  const body = fc.oneof(
    publication.map((each) => JSON.stringify(each)),
    fc.json(),
    fc.string(),
  )
  const name = fc.oneof(fc.string(), fc.string({ unit: 'binary' })).map((each) => {
    try {
      return encodeURIComponent(each)
    } catch {
      return 'half-a-surrogate'
    }
  })
  const path = fc.oneof(
    fc.constantFrom(
      '/v1/publications',
      '/v1/check',
      '/v1/events/x',
      '/docker/v1.41/containers/json',
    ),
    name.map((each) => `/v1/publications/${each}`),
    name.map((each) => `/v1/publications/${each}/upgrade?drain=${each}`),
    name.map((each) => `/v1/containers/${each}`),
  )
  const method = fc.constantFrom('POST', 'PATCH', 'DELETE', 'PUT')
  const counts: Record<number, number> = {}
  await fc.assert(
    fc.asyncProperty(method, path, body, async (...args) => {
      const code = await send(...args)
      counts[code] = (counts[code] ?? 0) + 1
      return code !== INTERNAL_ERROR
    }),
    { numRuns: RUNS },
  )
  t.comment(counts)
  t.ok((counts[BAD_REQUEST] ?? 0) > 0)
  t.same(await daemon.client.list(), [])
  t.equal(daemon.running.child.exitCode, null)
})

t.test('lines on the control pipe of a docker-proxyd', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const before = await proxyd.publish(echo)
  const control = openSync(join(proxyd.folder, 'control'), 'w')
  const line = fc.oneof(
    fc.constantFrom('start 1', 'stop 1', `stop ${proxyd.pid}`, 'start -1', 'start 1e9', 'start '),
    fc.string(),
    fc.string({ unit: 'binary', maxLength: 600 }),
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 3 }), (lines) => {
      writeSync(control, `${lines.join('\n')}\n`)
    }),
    { numRuns: RUNS },
  )
  t.equal(await exchange(t, before.port, 'still there'), 'still there')
  const after = await proxyd.publish(echo)
  t.equal(await exchange(t, after.port, 'served'), 'served')
  t.equal(proxyd.child.exitCode, null)
})
