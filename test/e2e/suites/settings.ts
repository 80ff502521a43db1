import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { OPTION_NAMES } from '../../../src/proxy/port-options.js'
import { listeningPort } from '../../lib/proc.js'
import { copyAlone, proxyFlags, READY, stop } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { dial, exchange, startEcho } from '../../lib/sockets.js'

export function settingsSuite(t: Test, target: Target): void {
  t.test('a wrong setting is refused with one line, on stderr and to dockerd', async (t) => {
    const folder = t.testdir({
      'engine.json': '{"engine": "warp"}',
      'workers.json': '{"workers": 17}',
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
        { DOCKER_PROXY_LOG_LEVEL: 'loud' },
        'invalid setting "loud" for DOCKER_PROXY_LOG_LEVEL: use one of silent, fatal, error, warn, info, debug, trace',
      ],
      [
        { DOCKER_PROXY_ENGINE: '\u009b31m' },
        'invalid setting "\\x9b31m" for DOCKER_PROXY_ENGINE: use one of auto, streams, native',
      ],
      [
        file('engine.json'),
        `invalid setting "warp" for "engine" in ${folder}/engine.json: use one of`,
      ],
      [
        { DOCKER_PROXY_WORKERS: '0' },
        'invalid setting "0" for DOCKER_PROXY_WORKERS: use auto, or 1 to 16',
      ],
      [
        file('workers.json'),
        `invalid setting 17 for "workers" in ${folder}/workers.json: use auto, or 1 to 16`,
      ],
      [
        file('unknown.json'),
        `unknown setting "color" in ${folder}/unknown.json: expected engine, workers, log-level, drain, metrics, ${OPTION_NAMES.join(', ')}`,
      ],
      [file('broken.json'), `the settings file ${folder}/broken.json is not JSON: `],
      [file('list.json'), `the settings file ${folder}/list.json does not contain a JSON object`],
      [
        file('absent.json'),
        `can't read the settings file "${folder}/absent.json": no such file or directory`,
      ],
      [file('.'), `can't read the settings file "${folder}": is a directory`],
    ]
    for (const [env, text] of cases) {
      const running = target.run(t, ['-host-ip', '127.0.0.1', '-host-port', '0'], { env })
      const [stderr, status, exit] = await Promise.all([
        running.stderr,
        running.status,
        running.exit,
      ])
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
    const quiet = await target.startProxy(t, echo, {
      env: { DOCKER_PROXY_CONFIG: path, DOCKER_PROXY_LOG_LEVEL: '' },
    })
    await stop(quiet)
    t.equal(await target.logOf(quiet), '')
    const loud = await target.startProxy(t, echo, {
      env: { DOCKER_PROXY_CONFIG: path, DOCKER_PROXY_LOG_LEVEL: 'info' },
    })
    await stop(loud)
    t.match(await target.logOf(loud), /Proxy listening/)
  })

  t.test('at debug level each connection has a line', async (t) => {
    const echo = await startEcho(t)
    const running = await target.startProxy(t, echo, { env: { DOCKER_PROXY_LOG_LEVEL: 'debug' } })
    const client = await dial(t, running.port)
    const from = `127.0.0.1:${client.localPort ?? 0}`
    client.end('hello')
    client.resume()
    await new Promise((resolve) => client.once('end', resolve))
    await stop(running)
    const lines = (await target.logOf(running)).trim().split('\n')
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

  t.test('each engine can be selected', async (t) => {
    for (const [setting, engine] of [
      ['auto', 'native'],
      ['native', 'native'],
      ['streams', 'streams'],
    ] as const) {
      const env = { DOCKER_PROXY_ENGINE: setting }
      t.match(
        await target.run(t, ['-version'], { env }).stdout,
        new RegExp(`\nengine: ${engine}\n$`),
      )
      const echo = await startEcho(t)
      const running = await target.startProxy(t, echo, { env })
      t.equal(await exchange(t, running.port, setting), setting)
      await stop(running)
    }
  })

  t.test(
    'where native does not load, auto is streams, and says so once at debug level',
    async (t) => {
      // Alone, it finds no koffi.
      const program = copyAlone(t)
      const version = target.run(t, ['-version'], { program })
      t.match(
        await version.stdout,
        /\nengine: streams \(native does not load: there is no koffi for /,
      )

      const args = proxyFlags(await startEcho(t))
      const env = { DOCKER_PROXY_LOG_LEVEL: 'debug' }
      const fallen = target.run(t, args, { program, env })
      t.equal(await fallen.status, READY)
      t.equal(await exchange(t, listeningPort(fallen.pid), 'hello'), 'hello')
      await stop(fallen)
      const report = (await fallen.stderr).split('\n').filter((line) => line.includes('native'))
      t.equal(report.length, 1)
      t.match(JSON.parse(report[0] ?? ''), {
        level: 20,
        msg: 'The engine is streams: native does not load',
        reason: 'there is no koffi for ',
      })

      const asked = target.run(t, args, { program, env: { DOCKER_PROXY_ENGINE: 'native' } })
      const [stderr, status, exit] = await Promise.all([asked.stderr, asked.status, asked.exit])
      t.match(
        stderr,
        /^the engine "native" is not available here: .*; or set DOCKER_PROXY_ENGINE to auto or streams\n$/,
      )
      t.equal(status, `1\n${stderr.trimEnd()}`)
      t.equal(exit.code, 2)
    },
  )

  t.test('the streams engine refuses SCTP, and names the one that has it', async (t) => {
    const args = ['-proto', 'sctp', '-host-ip', '127.0.0.1', '-host-port', '0']
    const { status, exit } = target.run(t, args, { env: { DOCKER_PROXY_ENGINE: 'streams' } })
    t.equal(
      await status,
      '1\nunsupported protocol sctp: the streams engine forwards tcp and udp; set DOCKER_PROXY_ENGINE to native to publish sctp',
    )
    t.match(await exit, { code: 1 })
  })
}
