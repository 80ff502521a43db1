import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import t, { type Test } from 'tap'

const CRUISER = resolve('node_modules/.bin/depcruise')
const RULES = resolve('.dependency-cruiser.js')

/** Checks the import rules on a tree of these files. @returns the exit code and the output */
function check(t: Test, files: Record<string, string>) {
  const root = mkdtempSync(join(tmpdir(), 'import-rules-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  writeFileSync(join(root, 'tsconfig.json'), '{"compilerOptions": {"module": "NodeNext"}}')
  writeFileSync(join(root, 'package.json'), '{"type": "module"}')
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const { status, stdout } = spawnSync(CRUISER, ['--config', RULES, 'src'], {
    cwd: root,
    encoding: 'utf8',
  })
  return { status, stdout }
}

const typeImport = (path: string): string => `import type { X } from '${path}'\nexport type Y = X\n`

t.test('imports may point downwards', async (t) => {
  const { status, stdout } = check(t, {
    'src/cli/a.ts': typeImport('../api/a.js'),
    'src/api/a.ts': typeImport('../controller/a.js'),
    'src/controller/a.ts': typeImport('../linux/a.js'),
    'src/linux/a.ts': 'export type X = 1\nexport type Y = 1\n',
  })
  t.equal(status, 0, stdout)
})

t.test('an import that points upwards fails the check, even of a type', async (t) => {
  for (const [path, target] of [
    ['src/proxy/a.ts', 'controller/a'],
    ['src/controller/b.ts', 'api/a'],
    ['src/linux/a.ts', 'proxy/a'],
    ['src/ports/a.ts', 'supervisor/a'],
  ] as const) {
    const { status, stdout } = check(t, {
      [path]: typeImport(`../${target}.js`),
      [`src/${target}.ts`]: 'export type X = 1\n',
    })
    t.not(status, 0, `${path} imports ${target}`)
    t.match(stdout, `${path} → src/${target}.ts`)
  }
})

t.test('a folder without a place in the drawing fails the check', async (t) => {
  const { status, stdout } = check(t, {
    'src/elsewhere/a.ts': typeImport('../linux/a.js'),
    'src/linux/a.ts': 'export type X = 1\n',
  })
  t.not(status, 0)
  t.match(stdout, 'src/elsewhere/a.ts → src/linux/a.ts')
})

t.test('a cycle fails the check, even of types', async (t) => {
  const { status, stdout } = check(t, {
    'src/proxy/a.ts': `import type { Y as X } from './b.js'\nexport type Y = X\n`,
    'src/proxy/b.ts': `import type { Y as X } from './a.js'\nexport type Y = X\n`,
  })
  t.not(status, 0)
  t.match(stdout, 'no-cycles')
})
