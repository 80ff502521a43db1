import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeFolder } from '../../src/linux/make-folder.js'

t.test('makes a folder and its parents, or uses an existing one', async (t) => {
  const folder = join(t.testdir(), 'a/b/c')
  makeFolder(folder, 0o700)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  makeFolder(folder, 0o755)
  t.equal(statSync(folder).mode & 0o777, 0o700)
})

t.test('where there can be none, it says so at once', async (t) => {
  t.throws(() => makeFolder('/proc/folder', 0o700), { code: 'ENOENT' })
  t.throws(() => makeFolder('/proc/some/folder', 0o700), { code: 'ENOENT' })
  const file = join(t.testdir({ file: '' }), 'file')
  t.throws(() => makeFolder(file, 0o700), { code: 'ENOTDIR' })
  t.throws(() => makeFolder(join(file, 'folder'), 0o700), { code: 'ENOTDIR' })
  t.ok(existsSync(file))
})
