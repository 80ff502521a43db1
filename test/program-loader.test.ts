import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Script } from 'node:vm'
import { execa } from 'execa'
import t, { type Test } from 'tap'

/* The built programs and V8's code caches of them. */

const PROGRAMS = [
  'docker-proxy-process',
  'docker-proxyd',
  'docker-publish',
  'docker-publish-shared',
]
const V8 = process.versions.v8

/** The caches of a program, whatever Node has built it. */
function cachesOf(program: string, folder = 'dist'): string[] {
  return readdirSync(folder).filter(
    (name) => name.startsWith(`${program}.`) && name.endsWith('.cache'),
  )
}

t.test('each program has a cache, which this Node takes if it has built it', (t) => {
  for (const program of PROGRAMS) {
    const [cache = '', ...others] = cachesOf(program)
    t.match(cache, /-[0-9a-f]{12}\.cache$/)
    t.strictSame(others, [])
    if (!cache.startsWith(`${program}.${V8}-`)) continue
    const source = readFileSync(`dist/${program}.js`, 'latin1')
    const script = new Script(source, { cachedData: readFileSync(join('dist', cache)) })
    t.equal(script.cachedDataRejected, false)
  }
  t.end()
})

/** A copy of docker-publish. @param change of its cache */
async function runCopy(t: Test, change: (cache: string) => void): Promise<string> {
  const folder = join(t.testdir(), 'copy')
  mkdirSync(folder)
  const caches = cachesOf('docker-publish')
  for (const file of ['docker-publish', 'docker-publish.js', 'package.json', ...caches]) {
    copyFileSync(join('dist', file), join(folder, file))
  }
  for (const cache of caches) {
    // The name that this Node looks for.
    const path = join(folder, cache.replace(/\.[^-]+(-node\.\d+)?-/, `.${V8}-`))
    copyFileSync(join(folder, cache), path)
    change(path)
  }
  return (await execa(join(folder, 'docker-publish'), ['--version'])).stdout
}

t.test('without a whole cache it compiles the bundle', async (t) => {
  const version = await runCopy(t, () => undefined)
  t.match(version, /^docker-publish .* version /)
  const changes: Record<string, (cache: string) => void> = {
    'an empty cache': (cache) => truncateSync(cache, 0),
    'half a cache': (cache) => truncateSync(cache, 100_000),
    'not a cache': (cache) => writeFileSync(cache, 'nothing of V8'.repeat(1_000)),
    'no cache': (cache) => rmSync(cache),
  }
  for (const [name, change] of Object.entries(changes)) {
    await t.test(name, async (t) => t.equal(await runCopy(t, change), version))
  }
})
