import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { replaceFile } from '../../src/linux/replace-file.js'

t.test('a file is put in the place of another, with the rights it is to have', async (t) => {
  const folder = t.testdir({ file: 'old' })
  const path = join(folder, 'file')
  replaceFile(path, 'new', { mode: 0o640 })
  t.equal(readFileSync(path, 'utf8'), 'new')
  t.equal(statSync(path).mode & 0o777, 0o640)
  replaceFile(path, 'newer')
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.strictSame(readdirSync(folder), ['file'])
})

t.test('where that fails nothing has changed', async (t) => {
  const folder = t.testdir()
  mkdirSync(join(folder, 'taken/inside'), { recursive: true })
  t.throws(() => replaceFile(join(folder, 'taken'), 'new'), { code: 'EISDIR' })
  t.strictSame(readdirSync(folder), ['taken'])
})

t.test('an existing file is not written to', async (t) => {
  const folder = t.testdir({ victim: 'untouched' })
  symlinkSync('victim', join(folder, 'file.new'))
  replaceFile(join(folder, 'file'), 'new')
  t.equal(readFileSync(join(folder, 'victim'), 'utf8'), 'untouched')
  writeFileSync(join(folder, 'file.new'), 'left by one that was killed')
  replaceFile(join(folder, 'file'), 'newer')
  t.equal(readFileSync(join(folder, 'file'), 'utf8'), 'newer')
})
