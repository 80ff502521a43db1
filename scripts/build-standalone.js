/**
 * Makes build/standalone/: the programs of dist/ with a Node of their own, for hosts without one. It can be moved as a whole.
 *
 * One Node for all programs: a single executable of each program would be as large as Node itself, start no faster, and could start no threads
 * from a file. See docs/decisions/standalone.md.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  mkdirSync,
  writeFileSync,
} from 'node:fs'
import console from 'node:console'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { writeCodeCaches } from './code-cache.js'

/** Gets security fixes until April 2028. See docs/decisions/standalone.md for the others. */
const NODE = process.env['STANDALONE_NODE'] ?? '24'
const OUT = 'build/standalone'
/** Each program, and whether users start it, also through a link. */
const PROGRAMS = new Map([
  ['docker-proxy-process', false],
  ['docker-publish-shared', false],
  ['docker-proxyd', true],
  ['docker-publish', true],
])

process.chdir(fileURLToPath(import.meta.resolve('..')))
if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
  fail(`there is no Node to fetch for ${process.platform} on ${process.arch}`)
}
const temporary = mkdtempSync(join(tmpdir(), 'standalone-'))
try {
  const next = join(temporary, 'out')
  cpSync('dist', next, { recursive: true })
  addNode(next)
  addKoffi(next)
  await writeCodeCaches(next, join(next, 'node'))
  for (const [program, isForUsers] of PROGRAMS) useOwnNode(join(next, program), isForUsers)
  // A copy of the launcher elsewhere finds the programs here.
  replaceIn(join(next, 'docker-proxy'), resolve('dist'), resolve(OUT))
  mkdirSync('build', { recursive: true })
  rmSync(OUT, { recursive: true, force: true })
  cpSync(next, OUT, { recursive: true })
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
console.log(`${OUT}: ${size(OUT)} MB`)

/** @param {string} folder */
function addNode(folder) {
  const name = `node-linux-${process.arch}`
  const prefix = join(temporary, 'node')
  execFileSync('npm', ['install', '--silent', '--no-save', '--prefix', prefix, `${name}@${NODE}`])
  const from = join(prefix, 'node_modules', name)
  const node = join(folder, 'node')
  renameSync(join(from, 'bin/node'), node)
  try {
    // A sixth of it is for debuggers.
    execFileSync('strip', [node])
  } catch {
    console.warn('strip is missing (binutils): the executable is larger')
  }
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()
  const licences = join(folder, 'THIRD-PARTY-LICENSES.txt')
  const own = readFileSync(join(from, 'LICENSE'), 'utf8')
  const others = readFileSync(licences, 'utf8')
  writeFileSync(licences, `Node.js ${version}\n\n${own}\n${'-'.repeat(80)}\n\n${others}`)
}

/** @param {string} folder */
function addKoffi(folder) {
  const name = `@koromix/koffi-linux-${process.arch}`
  const to = join(folder, 'node_modules', name)
  const binary = `linux_${process.arch}/koffi.node`
  cpSync(join('node_modules', name, binary), join(to, binary))
  cpSync(join('node_modules', name, 'package.json'), join(to, 'package.json'))
}

/**
 * Makes a program start the Node beside it. To Node, the second line is a string and a comment.
 * @param {string} path
 * @param {boolean} isForUsers
 */
function useOwnNode(path, isForUsers) {
  const text = readFileSync(path, 'utf8')
  const changed = isForUsers
    ? text.replace(
        'exec node "$0" "$@"\n',
        'program=$(readlink -f "$0"); exec "${program%/*}/node" "$program" "$@"\n',
      )
    : text.replace('#!/usr/bin/env node\n', '#!/bin/sh\n":" //; exec "${0%/*}/node" "$0" "$@"\n')
  if (changed === text) fail(`${path} does not start as expected`)
  writeFileSync(path, changed)
  chmodSync(path, 0o755)
}

/**
 * @param {string} path
 * @param {string} from
 * @param {string} to
 */
function replaceIn(path, from, to) {
  const text = readFileSync(path, 'utf8')
  if (!text.includes(from)) fail(`${path} does not contain ${from}`)
  writeFileSync(path, text.replaceAll(from, to))
}

/**
 * @param {string} folder
 * @returns {number} megabytes
 */
function size(folder) {
  const [kilobytes = ''] = execFileSync('du', ['-sk', folder], { encoding: 'utf8' }).split('\t')
  return Math.round(Number(kilobytes) / 1000)
}

/**
 * @param {string} reason
 * @returns {never}
 */
function fail(reason) {
  console.error(`can't build: ${reason}`)
  process.exit(1)
}
