import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { sendRequest, serveStatus } from '../../src/status/status-socket.js'
import { DescriptorBudget } from '../../src/proxy/descriptor-budget.js'
import { runFolder } from '../lib/proxyd.js'
import { until } from '../lib/until.js'

const roomy = new DescriptorBudget(1_000)

t.test('a request is answered, and the connection takes more', async (t) => {
  const path = join(t.testdir(), 'socket')
  const server = await serveStatus(path, roomy, {
    ports: () => ({ ports: [] }),
    broken: () => Promise.reject(new Error('it is broken')),
  })
  t.teardown(() => server.close())
  const words = { ports: { ports: [] }, broken: { error: 'it is broken' } }
  for (const [word, expected] of Object.entries(words)) {
    const reply = await sendRequest(path, word)
    t.strictSame(reply.value, expected)
    reply.connection.destroy()
  }
  const { value, connection } = await sendRequest(path, 'constructor')
  t.strictSame(value, { error: 'expected ports, broken' })
  connection.destroy()
})

t.test('a client that sends no line is disconnected', async (t) => {
  // Short wherever the tests are, since connect() is our own here.
  const path = join(runFolder(t), 'socket')
  const server = await serveStatus(path, roomy, {})
  t.teardown(() => server.close())
  const socket = connect(path).on('error', () => undefined)
  socket.write('x'.repeat(1000))
  socket.resume()
  await once(socket, 'close')
  t.pass()
})

t.test('one that closes leaves the socket of its successor', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'socket')
  const first = await serveStatus(path, roomy, { who: () => ['first'] })
  const second = await serveStatus(path, roomy, { who: () => ['second'] })
  t.teardown(() => second.close())
  first.close()
  await once(first, 'close')
  const { value, connection } = await sendRequest(path, 'who')
  t.strictSame(value, ['second'])
  connection.destroy()
  t.strictSame(readdirSync(folder), ['socket'])
})

t.test('a path may be longer than a socket may have', async (t) => {
  const folder = join(t.testdir(), 'x'.repeat(120))
  mkdirSync(folder)
  const path = join(folder, 'socket')
  await t.rejects(sendRequest(path, 'who'), { code: 'ENOENT' })
  const server = await serveStatus(path, roomy, { who: () => ['it'] })
  t.teardown(() => server.close())
  t.ok(existsSync(path))
  const { value, connection } = await sendRequest(path, 'who')
  t.strictSame(value, ['it'])
  connection.destroy()
})

t.test('the wait for an answer has a limit', async (t) => {
  const path = join(t.testdir(), 'socket')
  const server = await serveStatus(path, roomy, {
    never: () => new Promise<object>(() => undefined),
  })
  t.teardown(() => server.close())
  await t.rejects(sendRequest(path, 'never', 20), { message: 'it does not reply' })
})

t.test('with few descriptors, few requests run at a time', async (t) => {
  const path = join(runFolder(t), 'socket')
  const descriptors = new DescriptorBudget(1)
  descriptors.acquire()
  const server = await serveStatus(path, descriptors, { who: () => ['it'] })
  t.teardown(() => server.close())
  const clients = await Promise.all(
    Array.from({ length: 20 }, () => sendRequest(path, 'who').catch(() => undefined)),
  )
  t.equal(clients.filter((each) => each !== undefined).length, 8)
  for (const client of clients) client?.connection.destroy()
  await until(async () => {
    const again = await sendRequest(path, 'who').catch(() => undefined)
    again?.connection.destroy()
    return again !== undefined
  })
})
