import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import t from 'tap'
import { listeningPort } from '../lib/proc.js'
import { proxyFlags, READY, run, stop } from '../lib/program.js'
import { exchange, startEcho } from '../lib/sockets.js'

/** Scripts would build the programs again, while other tests use them. */
const PACK = ['pack', '--json', '--ignore-scripts']

t.test('the package has the programs, the docs, and no sources', async (t) => {
  const { stdout } = await execa('npm', [...PACK, '--dry-run'])
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }]
  const paths = files.map(({ path }) => path)
  for (const path of [
    ...['docker-proxy', 'docker-proxyd', 'docker-proxyd-start', 'docker-publish'].map(
      (program) => `dist/${program}`,
    ),
    ...['docs/docker-publish.md', 'docs/limits.md', 'README.md', 'LICENSE', 'CHANGELOG.md'],
  ]) {
    t.ok(paths.includes(path), path)
  }
  t.same(
    paths.filter((path) => /^(src|test|bench)\//.test(path)),
    [],
  )
})

t.test('npm install -g of the package needs no build', async (t) => {
  const folder = t.testdir({})
  await execa('npm', [...PACK, '--pack-destination', folder])
  const [archive = ''] = readdirSync(folder)
  const prefix = join(folder, 'global')
  const args = ['--global', '--prefer-offline', '--prefix', prefix]
  await execa('npm', ['install', ...args, join(folder, archive)])
  const bin = join(prefix, 'bin')
  t.same(readdirSync(bin).sort(), ['docker-proxy', 'docker-proxyd', 'docker-publish'])
  const { stdout } = await execa(join(bin, 'docker-publish'), ['version'])
  t.match(stdout, /^docker-publish \(commit \w+\) version \d/)

  const echo = await startEcho(t)
  const env = { DOCKER_PROXY_ISOLATION: 'process', DOCKER_PROXY_ENGINE: 'native' }
  const proxy = run(t, proxyFlags(echo), { program: join(bin, 'docker-proxy'), env })
  t.equal(await proxy.status, READY, 'with its native part')
  t.equal(await exchange(t, listeningPort(proxy.pid), 'hello'), 'hello')
  t.match(await stop(proxy), { code: 0 })
})
