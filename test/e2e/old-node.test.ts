import { join, resolve } from 'node:path'
import t from 'tap'
import { run } from '../lib/program.js'

/* The programs on a Node that is too old for them: what they find out before they run. */

/** Makes Node report an older version. */
const OLDER = `
Object.defineProperty(process, 'version', { value: 'v18.19.0' })
Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.19.0' } })`

t.test('an old Node is told in one sentence, also to dockerd', async (t) => {
  const folder = t.testdir({ 'older.cjs': OLDER })
  for (const program of ['docker-proxy-process', 'docker-proxyd', 'docker-publish']) {
    const args = ['--require', join(folder, 'older.cjs'), resolve('dist', program)]
    const running = run(t, args, { program: process.execPath })
    const name = program.replace('-process', '')
    const sentence = `${name} needs Node 20.19 or later, and this is v18.19.0: install a newer one, or put it first in PATH`
    t.match(await running.exit, { code: 1 })
    t.equal(await running.stderr, `${sentence}\n`)
    t.equal(await running.status, name === 'docker-proxy' ? `1\n${sentence}` : '')
  }
})
