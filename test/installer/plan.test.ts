import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import t, { type Test } from 'tap'
import { applyChange, formatChange } from '../../src/installer/file-change.js'
import { installation, removal, type Places } from '../../src/installer/plan.js'
import { UNIT, unitFile } from '../../src/installer/systemd-unit.js'

const PROXY = '/opt/docker-proxy/dist/docker-proxy'

function placesIn(t: Test, config?: string): Places & { unit: string } {
  const folder = t.testdir()
  const configFile = join(folder, 'daemon.json')
  const unitDir = join(folder, 'units')
  mkdirSync(unitDir)
  if (config !== undefined) writeFileSync(configFile, config)
  const proxyd = ['/usr/bin/node', '/opt/docker-proxy/dist/docker-proxyd']
  return { configFile, unitDir, proxy: PROXY, proxyd, unit: join(unitDir, 'docker-proxyd.service') }
}

/** A file that exists. */
function programIn(t: Test, name: string): string {
  const path = join(t.testdirName, name)
  writeFileSync(path, '')
  return path
}

const read = (path: string): string => readFileSync(path, 'utf8')
const apply = (changes: ReturnType<typeof installation>): void => changes.forEach(applyChange)

t.test('all else in daemon.json stays to the letter, and comes back to the letter', async (t) => {
  for (const config of [
    '{\n    "log-driver": "journald",\n    "dns": ["1.1.1.1"  , "9.9.9.9"]\n}\n',
    '{"debug":true}',
    '{}',
    '{\n\t"userland-proxy-path": "/other/docker-proxy",\n\t"bip": "10.0.0.1/24"\n}\n',
    '',
    '{\r\n  "debug": true\r\n}\r\n',
    '\uFEFF{\n  "debug": true\n}\n',
  ]) {
    const places = placesIn(t, config)
    apply(installation(places))
    const parse = (text: string): object => JSON.parse(text.replace('\uFEFF', '')) as object
    const text = read(places.configFile)
    t.strictSame(parse(text), { ...parse(config || '{}'), 'userland-proxy-path': PROXY })
    t.equal(text.startsWith('\uFEFF'), config.startsWith('\uFEFF'))
    if (config.includes('\r')) t.notMatch(text, /[^\r]\n/, 'its lines end as they did')
    t.equal(read(places.unit), unitFile(places.proxyd))
    t.same(installation(places), [], 'a second time there is nothing to do')
    apply(removal(places))
    t.equal(read(places.configFile), config)
    t.notOk(existsSync(places.unit))
    t.same(removal(places), [])
  }
})

t.test('the links of an enabled unit go as well', async (t) => {
  const places = placesIn(t)
  apply(installation(places))
  const wants = join(places.unitDir, 'multi-user.target.wants')
  mkdirSync(wants)
  symlinkSync(places.unit, join(wants, 'docker-proxyd.service'))
  apply(removal(places))
  t.same(readdirSync(wants), [])
})

t.test('an addition leaves the rest of the text unchanged', async (t) => {
  const places = placesIn(t, '{\n    "dns": ["1.1.1.1"  , "9.9.9.9"]\n}\n')
  apply(installation(places))
  t.match(read(places.configFile), '{\n    "dns": ["1.1.1.1"  , "9.9.9.9"],\n')
})

t.test('where there was no daemon.json there is none afterwards', async (t) => {
  const places = placesIn(t)
  apply(installation(places))
  t.same(JSON.parse(read(places.configFile)), { 'userland-proxy-path': PROXY })
  apply(removal(places))
  t.notOk(existsSync(places.configFile))
})

t.test('later changes by the user are kept', async (t) => {
  const places = placesIn(t, '{ "userland-proxy-path": "/other", "debug": false }')
  apply(installation(places))
  writeFileSync(places.configFile, read(places.configFile).replace('false', 'true'))
  apply(removal(places))
  t.same(JSON.parse(read(places.configFile)), { 'userland-proxy-path': '/other', debug: true })

  const other = placesIn(t, '{ "debug": true }')
  apply(installation(other))
  const third = JSON.stringify({ 'userland-proxy-path': programIn(t, 'third') })
  writeFileSync(other.configFile, third)
  apply(removal(other))
  t.equal(read(other.configFile), third, "another's is left")
})

t.test('another docker-proxy that was set in the meantime is restored', async (t) => {
  const places = placesIn(t, '{ "userland-proxy-path": "/old" }')
  apply(installation(places))
  const newer = JSON.stringify({ 'userland-proxy-path': programIn(t, 'newer'), debug: true })
  writeFileSync(places.configFile, newer)
  apply(installation(places))
  apply(removal(places))
  t.equal(read(places.configFile), newer)
})

t.test('an existing file at the temporary path is not written to', async (t) => {
  const places = placesIn(t, '{}')
  const victim = join(t.testdirName, 'victim')
  writeFileSync(victim, 'untouched')
  symlinkSync(victim, `${places.configFile}.new`)
  apply(installation(places))
  t.equal(read(victim), 'untouched')
  t.notOk(lstatSync(places.configFile).isSymbolicLink())
})

t.test('rights and links stay', async (t) => {
  const places = placesIn(t)
  const real = join(t.testdirName, 'real.json')
  writeFileSync(real, '{"debug":true}')
  chmodSync(real, 0o600)
  symlinkSync(real, places.configFile)
  apply(installation(places))
  t.match(read(real), PROXY)
  t.equal(statSync(real).mode & 0o777, 0o600)
})

t.test('a dangling link is not replaced', async (t) => {
  const places = placesIn(t)
  symlinkSync('/nowhere/daemon.json', places.configFile)
  t.throws(() => installation(places), {
    message: `${places.configFile} is a dangling link: create its target, or remove the link`,
  })
})

t.test("dockerd's folder is made where there is none", async (t) => {
  const places = placesIn(t)
  const configFile = join(t.testdirName, 'docker', 'daemon.json')
  apply(installation({ ...places, configFile }))
  t.match(read(configFile), PROXY)
})

t.test('a configuration that dockerd would refuse or ignore is refused', async (t) => {
  for (const [config, message] of [
    ['{ "debug": true', /daemon\.json is not a JSON object \(line 1\): dockerd would not start/],
    ['[]', /daemon\.json is not a JSON object: dockerd would not start/],
    ['{\n  // a comment\n}', /not a JSON object \(line 2\)/],
    [
      '{ "userland-proxy": false }',
      /has "userland-proxy": false, so dockerd starts no docker-proxy/,
    ],
  ] as const) {
    const places = placesIn(t, config)
    t.throws(() => installation(places), { message })
    t.equal(read(places.configFile), config)
    t.notOk(existsSync(places.unit))
  }
})

t.test('a system without systemd gets no unit', async (t) => {
  const places = { ...placesIn(t), unitDir: '/nowhere/at/all' }
  t.same(
    installation(places).map(({ path }) => path),
    [places.configFile],
  )
})

t.test('the difference is shown as diff -u does', async (t) => {
  const places = placesIn(t, '{ "debug": true }\n')
  const config = installation(places).find(({ path }) => path === places.configFile)
  if (!config) throw new Error('it changes')
  const text = formatChange(config)
  t.match(text, `--- ${places.configFile}\n+++ ${places.configFile}\n@@ `)
  t.match(text, `\n+{ "debug": true, "userland-proxy-path": "${PROXY}" }`)
})

t.test('a path that systemd would take apart is quoted', async (t) => {
  t.match(unitFile(['/opt/my node', '/opt/100%/$x']), 'ExecStart="/opt/my node" "/opt/100%%/$$x"\n')
})

t.test(
  'systemd accepts the unit',
  { skip: !existsSync('/usr/bin/systemd-analyze') && 'systemd is not here' },
  async (t) => {
    const path = join(t.testdir(), UNIT)
    writeFileSync(path, unitFile([process.execPath]))
    const { all } = await execa('systemd-analyze', ['verify', path], {
      all: true,
      reject: false, // It may also complain of units of this machine.
    })
    t.notMatch(all, UNIT, 'no complaint about it')
  },
)

t.test('an entry of another installation is left to that installation', async (t) => {
  const common = placesIn(t)
  const [a, b] = ['a', 'b'].map((name) => {
    const folder = join(t.testdirName, name)
    mkdirSync(folder)
    for (const program of ['docker-proxy', 'docker-proxyd'])
      writeFileSync(join(folder, program), '')
    return { ...common, proxy: join(folder, 'docker-proxy') }
  })
  if (!a || !b) throw new Error('there are two')
  apply(installation(a))
  t.throws(() => removal(b), { message: /names .*a\/docker-proxy: run the uninstall/ })
  apply(installation(b))
  apply(removal(b))
  t.notOk(existsSync(a.configFile), 'there was none before either')
})

t.test('an installation whose folder is gone restores the earlier setting', async (t) => {
  const original = '{ "userland-proxy-path": "/usr/sbin/docker-proxy" }'
  const places = placesIn(t, original)
  const gone = { ...places, proxy: join(t.testdirName, 'gone/docker-proxy') }
  apply(installation(gone))
  apply(installation(places))
  apply(removal(places))
  t.equal(read(places.configFile), original)

  apply(installation(gone))
  apply(removal(places))
  t.equal(read(places.configFile), original)
  t.same(removal(places), [])

  for (const unitDir of [places.unitDir, join(t.testdirName, 'no systemd')]) {
    const elsewhere = { ...places, unitDir }
    apply(installation({ ...gone, unitDir, proxy: join(t.testdirName, '100% gone/docker-proxy') }))
    writeFileSync(places.configFile, read(places.configFile).replace('{', '{ "debug": true,'))
    apply(installation(elsewhere))
    apply(removal(elsewhere))
    t.same(JSON.parse(read(places.configFile)), {
      debug: true,
      ...(JSON.parse(original) as object),
    })
    writeFileSync(places.configFile, original)
  }
})

t.test('a copy has the permissions of the original file', async (t) => {
  const places = placesIn(t, '{ "debug": true }')
  chmodSync(places.configFile, 0o600)
  apply(installation(places))
  for (const path of [places.configFile, `${places.configFile}.before-docker-publish`]) {
    t.equal(statSync(path).mode & 0o777, 0o600)
  }
})

t.test('a key that is there twice is not edited', async (t) => {
  const places = placesIn(t, '{ "userland-proxy-path": "/a", "userland-proxy-path": "/b" }')
  t.throws(() => installation(places), { message: /"userland-proxy-path" more than once/ })
})
