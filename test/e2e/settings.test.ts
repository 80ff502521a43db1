import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { proxyFlags, READY, run, startProxy, stop } from '../lib/program.js'
import { dial, startEcho } from '../lib/sockets.js'

t.test('a wrong setting is refused with one line, on stderr and to dockerd', async (t) => {
  const folder = t.testdir({
    'engine.json': '{"engine": "warp"}',
    'unknown.json': '{"color": "red"}',
    'broken.json': '{"engine": ',
    'list.json': '[]',
  })
  const file = (name: string): NodeJS.ProcessEnv => ({ DOCKER_PROXY_CONFIG: join(folder, name) })
  const cases: [NodeJS.ProcessEnv, string][] = [
    [
      { DOCKER_PROXY_ENGINE: 'warp' },
      'invalid setting "warp" for DOCKER_PROXY_ENGINE: use one of auto, streams, native',
    ],
    [
      { DOCKER_PROXY_ENGINE: 'native' },
      'the engine "native" is not in this version: set DOCKER_PROXY_ENGINE to auto or streams',
    ],
    [
      { DOCKER_PROXY_LOG_LEVEL: 'loud' },
      'invalid setting "loud" for DOCKER_PROXY_LOG_LEVEL: use one of silent, fatal, error, warn, info, debug, trace',
    ],
    [
      file('engine.json'),
      `invalid setting "warp" for "engine" in ${folder}/engine.json: use one of`,
    ],
    [file('unknown.json'), `unknown setting "color" in ${folder}/unknown.json: expected engine or`],
    [file('broken.json'), `the settings file ${folder}/broken.json is not JSON: `],
    [file('list.json'), `the settings file ${folder}/list.json holds no JSON object`],
    [
      file('absent.json'),
      `can't read the settings file "${folder}/absent.json": no such file or directory`,
    ],
    [file('.'), `can't read the settings file "${folder}": is a directory`],
  ]
  for (const [env, text] of cases) {
    const running = run(t, ['-host-ip', '127.0.0.1', '-host-port', '0'], { env })
    const [stderr, status, exit] = await Promise.all([running.stderr, running.status, running.exit])
    t.ok(stderr.startsWith(text), text)
    t.equal(stderr.trimEnd().split('\n').length, 1)
    t.equal(status, `1\n${stderr.trimEnd()}`)
    t.equal(exit.code, 2)
  }
})

t.test('the environment wins over the file, and an empty variable is none', async (t) => {
  const path = join(t.testdir(), 'settings.json')
  writeFileSync(path, '{"log-level": "silent", "engine": "streams"}')
  const echo = await startEcho(t)
  const quiet = await startProxy(t, echo, {
    env: { DOCKER_PROXY_CONFIG: path, DOCKER_PROXY_LOG_LEVEL: '' },
  })
  await stop(quiet)
  t.equal(await quiet.stderr, '')
  const loud = await startProxy(t, echo, {
    env: { DOCKER_PROXY_CONFIG: path, DOCKER_PROXY_LOG_LEVEL: 'info' },
  })
  await stop(loud)
  t.match(await loud.stderr, /Proxy listening/)
})

t.test('at debug level each connection has a line', async (t) => {
  const echo = await startEcho(t)
  const running = await startProxy(t, echo, { env: { DOCKER_PROXY_LOG_LEVEL: 'debug' } })
  const client = await dial(t, running.port)
  const from = `127.0.0.1:${client.localPort ?? 0}`
  client.end('hello')
  client.resume()
  await new Promise((resolve) => client.once('end', resolve))
  await stop(running)
  const lines = (await running.stderr).trim().split('\n')
  const line = lines
    .map((l) => JSON.parse(l) as { msg: string })
    .find((l) => l.msg === 'Connection closed')
  t.match(line, {
    level: 20,
    client: from,
    bytesIn: 5,
    bytesOut: 5,
    durationMs: Number,
  })
})

t.test('each engine that can be asked for', async (t) => {
  for (const engine of ['auto', 'streams']) {
    const args = proxyFlags({ ip: '127.0.0.1', port: 80 })
    const running = run(t, args, { env: { DOCKER_PROXY_ENGINE: engine } })
    t.equal(await running.status, READY)
    await stop(running)
  }
})
