import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import t, { type Test } from 'tap'
import { inspectReply, startFakeEngine } from '../../lib/fake-engine.js'
import { freeRow } from '../../lib/free-row.js'
import { missing } from '../../lib/program.js'
import { publish, PUBLISH, startDaemon } from '../../lib/publish.js'
import { until } from '../../lib/until.js'

/* docker-publish as a command of docker, with the real docker command. */

const skip = missing('/usr/bin/docker', 'docker.io')

/** A docker with our plugin. */
async function withPlugin(t: Test) {
  const config = t.testdir({})
  const installed = await publish(t, ['install-plugin'], { DOCKER_CONFIG: config })
  t.match(installed, { code: 0, stdout: /docker-publish -> .*\/dist\/docker-publish\nTry it: / })
  const docker = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    execa('docker', args, { env: { DOCKER_CONFIG: config, ...env }, reject: false })
  return { config, docker }
}

t.test('docker publish: help, commands, refusals and exit codes', { skip }, async (t) => {
  const { docker } = await withPlugin(t)
  const daemon = await startDaemon(t)
  const env = { DOCKER_PUBLISH_HOST: daemon.host }
  const port = freeRow(1)
  t.match((await docker(['help'])).stdout, /^ +publish\* +Publish ports of running containers$/m)
  t.match((await docker(['publish', '--help'])).stdout, /^ +docker publish add <container>/m)
  const added = await docker(
    [
      'publish',
      'add',
      '-p',
      `127.0.0.1:${port}:80`,
      '--name',
      'web',
      '--address-only',
      '127.0.0.9',
    ],
    env,
  )
  t.equal(added.stdout, `web: 127.0.0.1:${port}->80/tcp`)
  t.match((await docker(['publish', 'ls', '-q'], env)).stdout, /^web$/)
  t.match(await docker(['publish', 'check', '-p', `127.0.0.1:${port}:80`], env), {
    ...{ exitCode: 125, stderr: /held by +the publication web / },
  })
  t.match(await docker(['publish', 'nope']), {
    ...{
      exitCode: 2,
      stderr: /^docker publish: unknown command "nope": see docker publish --help$/,
    },
  })
  t.match(await docker(['__complete', 'publish', 'rm', ''], env), { stdout: /^web\n:4$/m })
  t.match(await docker(['__complete', 'publish', 'ch'], env), { stdout: /^check\n:4$/m })
  t.match(await docker(['__complete', 'publish', 'add', '--pub'], env), { stdout: /^--publish$/m })
  const engine = await startFakeEngine(t)
  engine.containers.set('c1', inspectReply('c1', 'web_svr01'))
  const withEngine = { ...env, DOCKER_HOST: engine.host }
  for (const words of [[''], ['-p', '80', ''], ['--keep', 'web']]) {
    t.match(await docker(['__complete', 'publish', 'add', ...words], withEngine), {
      stdout: /^web_svr01\n:4$/m,
    })
  }
  t.match(await docker(['__complete', 'publish', 'add', '-p', ''], withEngine), { stdout: /^:0$/m })
  t.match(
    await docker(['__complete', 'publish', 'add', ''], { ...env, DOCKER_HOST: 'unix:///x' }),
    {
      stdout: /^:4$/m,
    },
  )
  t.match(await docker(['__complete', 'publish', 'add', '--file', ''], env), { stdout: /^:0$/m })
  t.match(await docker(['__complete', 'publish', 'ls', '--fo'], env), { stdout: /^--format\n:4$/m })
  t.match(await docker(['__complete', 'publish', 'add', '--when-stopped', 'h'], env), {
    stdout: /^hold\n:4$/m,
  })
})

t.test('Ctrl-C ends a command with the exit code that shells give', { skip }, async (t) => {
  const { config } = await withPlugin(t)
  const daemon = await startDaemon(t)
  const env = { DOCKER_CONFIG: config, DOCKER_PUBLISH_HOST: daemon.host }
  const events = execa('docker', ['publish', 'events'], { env, detached: true, reject: false })
  let output = ''
  events.stdout.on('data', (text: Buffer) => (output += text.toString()))
  await until(async () => {
    await daemon.cli('add', '-p', '127.0.0.1::80', '--name', 'web', '127.0.0.9')
    await daemon.cli('rm', 'web')
    return output !== ''
  })
  // A terminal sends it to all processes of the command.
  process.kill(-(events.pid ?? 0), 'SIGINT')
  t.match(await events, { exitCode: 130 })
})

t.test("docker's own options choose the engine", { skip }, async (t) => {
  const { docker } = await withPlugin(t)
  const daemon = await startDaemon(t, { env: { DOCKER_HOST: 'unix:///nonexistent/daemons.sock' } })
  const env = { DOCKER_PUBLISH_HOST: daemon.host }
  const add = ['publish', 'add', '-p', '127.0.0.1::80', 'web']
  t.match(await docker(['-H', 'unix:///nonexistent/mine.sock', ...add], env), {
    exitCode: 125,
    stderr:
      /^the daemon follows the containers of unix:\/\/\/nonexistent\/daemons\.sock, but DOCKER_HOST or the docker context names unix:\/\/\/nonexistent\/mine\.sock: /,
  })
  t.match(await docker(['-H', 'tcp://192.0.2.7', ...add], env), {
    exitCode: 125,
    stderr: /^tcp:\/\/192\.0\.2\.7:2375 is another host, /,
  })
  t.match(await publish(t, add.slice(1), { ...env, DOCKER_HOST: 'nonsense' }), {
    ...{ code: 2, stderr: /invalid DOCKER_HOST "nonsense": expected / },
  })
})

t.test('the reply to docker needs no Node', async (t) => {
  const { stdout } = await execa('/bin/sh', [PUBLISH, 'docker-cli-plugin-metadata'], {
    env: { PATH: '' },
    extendEnv: false,
  })
  t.match(JSON.parse(stdout), {
    ...{ SchemaVersion: '0.1.0', ShortDescription: 'Publish ports of running containers' },
  })
})

t.test('installing and uninstalling leave foreign files alone', async (t) => {
  const config = t.testdir({})
  const path = join(config, 'cli-plugins/docker-publish')
  const env = { DOCKER_CONFIG: config }
  for (let i = 0; i < 2; i++) t.match(await publish(t, ['install-plugin'], env), { code: 0 })
  t.match(await publish(t, ['uninstall-plugin'], env), { code: 0, stdout: /^removed / })
  t.notOk(existsSync(path))
  t.match(await publish(t, ['uninstall-plugin'], env), { code: 0, stdout: /^there is no / })
  mkdirSync(join(config, 'cli-plugins'), { recursive: true })
  writeFileSync(path, 'foreign')
  for (const command of ['install-plugin', 'uninstall-plugin']) {
    t.match(await publish(t, [command], env), {
      ...{ code: 1, stderr: /docker-publish is another file, and was left alone: move it away, / },
    })
  }
  t.equal(readFileSync(path, 'utf8'), 'foreign')
})
