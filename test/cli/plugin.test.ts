import t from 'tap'
import { pluginCall } from '../../src/cli/plugin.js'

const BY_DOCKER = { DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND: '/usr/bin/docker' }

t.test('docker help publish asks for help', async (t) => {
  const env = { DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND: '/usr/bin/docker' }
  t.match(pluginCall(['help', 'publish', 'add'], env), { args: ['add', '--help'] })
})

t.test("what the docker command passes on: its own options, then the plugin's name", async (t) => {
  t.same(pluginCall(['publish', 'ls', '-a'], BY_DOCKER), {
    ...{ args: ['ls', '-a'], env: {}, isCompletion: false },
  })
  t.same(
    pluginCall(
      ['-H', 'unix:///x', '--context=near', '--config', '/c', '-D', '-l', 'debug', 'publish', 'ls'],
      BY_DOCKER,
    ),
    {
      ...{ args: ['ls'], isCompletion: false },
      env: { DOCKER_HOST: 'unix:///x', DOCKER_CONTEXT: 'near', DOCKER_CONFIG: '/c' },
    },
  )
})

t.test('short options may contain their value', async (t) => {
  for (const [words, env] of [
    [['-Hunix:///x'], { DOCKER_HOST: 'unix:///x' }],
    [['-H=unix:///x'], { DOCKER_HOST: 'unix:///x' }],
    [['-DHunix:///x'], { DOCKER_HOST: 'unix:///x' }],
    [['-DH', 'unix:///x'], { DOCKER_HOST: 'unix:///x' }],
    [['-D', '-ldebug'], {}],
    [['-D'], {}],
  ] as const) {
    t.match(pluginCall([...words, 'publish', 'ls'], BY_DOCKER), { args: ['ls'] })
    t.same(pluginCall([...words, 'publish', 'ls'], BY_DOCKER)?.env, env, words.join(' '))
  }
})

t.test('a context of the options counts more than the host of the environment', async (t) => {
  for (const words of [['-cfar'], ['-c', 'far'], ['--context=far'], ['--context', 'far']]) {
    const env = { DOCKER_CONTEXT: 'far', DOCKER_HOST: '' }
    t.same(pluginCall([...words, 'publish', 'ls'], BY_DOCKER)?.env, env, words.join(' '))
  }
})

t.test("docker's default context is the host of the environment", async (t) => {
  const call = pluginCall(['--context', 'default', 'publish', 'ls'], BY_DOCKER)
  t.same(call?.env, { DOCKER_CONTEXT: 'default' })
})

t.test('a request for completions', async (t) => {
  t.same(pluginCall(['__complete', 'publish', 'rm', ''], {}), {
    ...{ args: ['rm', ''], env: {}, isCompletion: true },
  })
})

t.test('calls by users', async (t) => {
  t.equal(pluginCall(['publish', 'ls'], {}), undefined)
  t.equal(pluginCall(['ls'], BY_DOCKER), undefined)
  t.equal(pluginCall(['-H'], BY_DOCKER), undefined)
})
