import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { publish } from '../lib/publish.js'

function system(t: Test) {
  const folder = t.testdir()
  const config = join(folder, 'daemon.json')
  const units = join(folder, 'units')
  mkdirSync(units)
  const places = ['--config-file', config, '--unit-dir', units]
  const command = async (name: string, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await publish(t, [name, ...places, ...args])
    t.equal(code, 0, stderr)
    return stdout
  }
  return {
    config,
    unit: join(units, 'docker-proxyd.service'),
    install: (...args: string[]) => command('install-userland-proxy', ...args),
    uninstall: () => command('uninstall-userland-proxy'),
  }
}

/** The commands that the message recommends. */
const advice = (text: string): string[] =>
  [...text.matchAll(/^ {2}(systemctl [^#\n]*?) *(?:#.*)?$/gm)].map(([, command = '']) => command)

const ENABLE = 'systemctl enable --now docker-proxyd.service'

t.test('lists each step that is left to the user, and no other', async (t) => {
  const { config, unit, install, uninstall } = system(t)
  const all = ['systemctl daemon-reload', ENABLE, 'systemctl restart docker']
  t.strictSame(advice(await install('--dry-run')), all)
  t.notOk(existsSync(config) || existsSync(unit))
  t.strictSame(advice(await install()), all)
  t.equal(await install(), 'Nothing to change: everything is installed already\n')

  writeFileSync(config, '{}')
  t.strictSame(advice(await install()), [ENABLE, 'systemctl restart docker'])
  writeFileSync(unit, '# an older one')
  t.strictSame(advice(await install()), [
    'systemctl daemon-reload',
    ENABLE,
    'systemctl restart docker-proxyd.service',
  ])

  t.strictSame(advice(await uninstall()), [
    'systemctl daemon-reload',
    'systemctl restart docker',
    'systemctl stop docker-proxyd.service',
  ])
  t.equal(readFileSync(config, 'utf8'), '{}')
  t.equal(await uninstall(), 'Nothing to change: nothing is installed\n')
})

t.test(
  'nothing is written with a wrong settings file, or a folder that does not exist',
  async (t) => {
    const folder = t.testdir({ settings: '{"engin": "native"}' })
    const config = join(folder, 'daemon.json')
    const install = ['install-userland-proxy', '--config-file', config]
    t.match(
      await publish(t, [...install, '--unit-dir', folder], {
        DOCKER_PROXY_CONFIG: join(folder, 'settings'),
      }),
      { code: 2, stderr: /^docker-publish: unknown setting "engin" in / },
    )
    t.match(await publish(t, [...install, '--unit-dir', join(folder, 'nowhere')]), {
      code: 2,
      stderr: /^docker-publish: --unit-dir ".*nowhere": there is no such folder; make it, or name/,
    })
    t.notOk(existsSync(config))
  },
)
