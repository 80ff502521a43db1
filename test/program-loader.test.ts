import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
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
/** How this Node's caches are called. */
const OWN = `${process.arch}-${process.versions.v8}`

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
    if (!cache.startsWith(`${program}.${OWN}-`)) continue
    const source = readFileSync(`dist/${program}.js`, 'latin1')
    const script = new Script(source, {
      cachedData: readFileSync(join('dist', cache)).subarray(0, -4),
    })
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
    const path = join(
      folder,
      `docker-publish.${OWN}${/-[0-9a-f]{12}\.cache$/.exec(cache)?.[0] ?? ''}`,
    )
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
    'a lost block': (cache) => {
      const bytes = readFileSync(cache)
      writeFileSync(cache, bytes.fill(0, 512 * 300, 512 * 301))
    },
    'a block of another file': (cache) => {
      const bytes = readFileSync(cache)
      writeFileSync(cache, bytes.fill(randomBytes(4_096), 4_096 * 30, 4_096 * 31))
    },
    'no cache': (cache) => rmSync(cache),
  }
  for (const [name, change] of Object.entries(changes)) {
    await t.test(name, async (t) => t.equal(await runCopy(t, change), version))
  }
})

t.test('without the bundle there is a sentence', async (t) => {
  const program = join(t.testdir({ 'package.json': '{}' }), 'alone')
  copyFileSync('dist/docker-publish', program)
  t.match(await execa(program, ['--version'], { reject: false }), {
    ...{ exitCode: 1, stdout: '' },
    stderr: `alone can't read ${program}.js: install it again, or link to it`,
  })
})
