import { once } from 'node:events'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { processCommand } from '../../src/linux/proc/process.js'
import { childrenOf } from '../lib/proc.js'
import { PROGRAM, run, type Running } from '../lib/program.js'
import { until } from '../lib/until.js'

const FIRST_PORT = 8080
const START = ['dist/start.js']
const program = process.execPath

/** Runs until the program has printed how to stop it. */
async function untilUp(running: Running): Promise<string> {
  let seen = ''
  running.child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
  await Promise.race([
    until(() => seen.includes('Stop        Ctrl-C')),
    running.exit.then(async () => {
      throw new Error(`it ended: ${seen}${await running.stderr}`)
    }),
  ])
  return seen
}

async function fetchText(url: string): Promise<string> {
  const [response] = (await once(get(url, { agent: false }), 'response')) as [NodeJS.ReadableStream]
  return text(response)
}

t.test('without arguments it runs the demo, and leaves a published port to try', async (t) => {
  // The first port is taken, by this test or by another process.
  const holder = createServer()
  await new Promise<void>((resolve) => {
    holder.once('error', () => resolve())
    holder.listen(FIRST_PORT, '127.0.0.1', resolve)
  })
  t.teardown(() => holder.close())

  const running = run(t, START, { program, status: 'ignore' })
  const seen = await untilUp(running)
  const [, first = ''] = /Port 8080 is taken here, so the demo starts with (\d+)\./.exec(seen) ?? []
  t.not(first, '')
  const other = String(Number(first) + 1)
  const steps = seen.split(/\n(?=\d\. )/).slice(1)
  const outcomes = [
    [`-p ${first}:`, `web_svr01: 0.0.0.0:${first}->`, 'Hello from web_svr01: GET /'],
    [
      `-p ${first}:`,
      `Bind for 0.0.0.0:${first} failed: port is already allocated`,
      'held by   the publication web_svr01',
    ],
    [`-p 127.0.0.1:${other}:`, `web_svr02: 127.0.0.1:${other}->`],
    [`-p 127.0.0.2:${other}:`, `web_svr01_b: 127.0.0.2:${other}->`],
    [`-p ${other}:`, `Bind for 0.0.0.0:${other} failed: port is already allocated`],
    ['/udp', `dns_svr01: 0.0.0.0:${first}->`, 'dns_svr01 got "who are you?"'],
    ['-p 127.0.0.1:', 'failed to bind host port 127.0.0.1:', 'held by   some-server --listen'],
  ]
  t.equal(steps.length, outcomes.length)
  for (const [i, texts] of outcomes.entries()) {
    for (const each of [...texts, '   Why: ']) t.ok(steps[i]?.includes(each), `${i + 1}. ${each}`)
  }

  const url = `http://127.0.0.1:${first}/`
  t.ok(seen.includes(`published   ${url}`))
  const [, pid] =
    /process +\S+docker-proxy -proto tcp -host-ip 0\.0\.0\.0 .* {2}\(pid (\d+)\)/.exec(seen) ?? []
  t.ok(processCommand(Number(pid))?.join(' ').startsWith(PROGRAM))
  t.equal(await fetchText(url), 'Hello from web_svr01: GET /\n')
  // Ctrl-C reaches all processes of a terminal, and is also forwarded.
  for (const each of [running.pid, ...childrenOf(running.pid)]) process.kill(each, 'SIGINT')
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
