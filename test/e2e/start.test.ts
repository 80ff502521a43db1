import { once } from 'node:events'
import { createServer } from 'node:net'
import { get } from 'node:http'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { run, type Running } from '../lib/program.js'

const FIRST_PORT = 8080
const START = ['dist/start.js']
const program = process.execPath

/** Runs until it has said how to stop it. */
async function untilUp(running: Running): Promise<string> {
  let seen = ''
  for await (const [chunk] of events(running)) {
    seen += chunk.toString()
    if (seen.includes('Stop')) break
  }
  return seen
}

async function* events(running: Running): AsyncGenerator<[Buffer]> {
  while (running.child.exitCode === null) {
    yield (await once(running.child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
  }
}

async function fetchText(url: string): Promise<string> {
  const [response] = (await once(get(url, { agent: false }), 'response')) as [NodeJS.ReadableStream]
  return text(response)
}

t.test('without arguments it publishes a container to try', async (t) => {
  // Somebody has the first port, be it us or another.
  const holder = createServer()
  await new Promise<void>((resolve) => {
    holder.once('error', () => resolve())
    holder.listen(FIRST_PORT, '127.0.0.1', resolve)
  })
  t.teardown(() => holder.close())

  const running = run(t, START, { program, status: 'ignore' })
  const seen = await untilUp(running)
  t.match(seen, `Port ${FIRST_PORT} is taken, trying ${FIRST_PORT + 1}: failed to listen on`)
  t.match(seen, /container +web_svr01 listens on 127\.17\.0\.2:\d+/)
  const url = /published +(\S+)/.exec(seen)?.[1] ?? ''
  const process_ =
    /process +(\S+docker-proxy -proto tcp -host-ip 127\.0\.0\.1 .*) {2}\(pid (\d+)\)/.exec(seen)
  t.ok(process_)
  t.equal(await fetchText(url), 'Hello from web_svr01: GET /\n')
  running.child.kill('SIGINT')
  t.same(await running.exit, { code: 0, signal: null })
  await t.rejects(fetchText(url), { code: 'ECONNREFUSED' })
})

t.test('with arguments it is the drop-in', async (t) => {
  const version = run(t, [...START, '-v'], { program, status: 'ignore' })
  t.match(await version.stdout, /^docker-proxy \(commit/)
  t.match(await version.exit, { code: 0 })
  const wrong = run(t, [...START, '-foo'], { program, status: 'ignore' })
  t.match(await wrong.stderr, /^flag provided but not defined: -foo\n/)
  t.match(await wrong.exit, { code: 2 })
  const args = ['-host-ip', '127.0.0.1', '-host-port', '0', '-container-port', '80']
  const proxy = run(t, [...START, ...args], { program, status: 'ignore' })
  await once(proxy.child.stderr as NodeJS.ReadableStream, 'data')
  proxy.child.kill('SIGTERM')
  t.match(await proxy.exit, { code: 0 })
  t.match(await proxy.stderr, /Proxy stopped/)
})
