/**
 * Bundles each program into one file under dist/, since a start that reads many small files is slow.
 * The bundles are CommonJS, which Node starts a millisecond or two sooner than modules.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

process.chdir(fileURLToPath(import.meta.resolve('..')))
const { version } = JSON.parse(readFileSync('package.json', 'utf8'))

/** @returns {string} the commit this is built from; BUILD_COMMIT tells it outside a checkout */
function commit() {
  const told = process.env['BUILD_COMMIT']
  if (told) return told
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}

rmSync('dist', { recursive: true, force: true })
mkdirSync('dist')
writeFileSync('dist/package.json', '{ "type": "commonjs" }\n')

/** @type {import('esbuild').BuildOptions} */
const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  legalComments: 'none',
  logLevel: 'warning',
}

await build({
  ...common,
  entryPoints: ['src/docker-proxy.ts', 'src/docker-publish.ts', 'src/start.ts'],
  outdir: 'dist',
  external: ['koffi'],
  define: {
    BUILD_VERSION: JSON.stringify(version),
    BUILD_COMMIT: JSON.stringify(commit()),
    'import.meta.url': 'moduleUrl',
  },
  banner: {
    js: '#!/usr/bin/env node\n"use strict";const moduleUrl = require("node:url").pathToFileURL(__filename).href;',
  },
  plugins: [apart(/\/pino-log\.js$/, './pino-log.js')],
})
// Under dockerd nobody reads stderr, and only people have terminals: what writes lines is read when it is
// needed. In the first file it would cost each start two milliseconds.
await build({
  ...common,
  entryPoints: ['src/log/pino-log.ts'],
  outfile: 'dist/pino-log.js',
  plugins: [apart(/^pino-pretty$/, './pino-pretty.js')],
})
await build({ ...common, entryPoints: ['pino-pretty'], outfile: 'dist/pino-pretty.js' })

// dockerd is given a path to a program, not to a script; and `ps` shows it.
for (const program of ['docker-proxy', 'docker-publish']) {
  renameSync(`dist/${program}.js`, `dist/${program}`)
  chmodSync(`dist/${program}`, 0o755)
}
for (const script of [
  'src/controller/docker-publish-shim.sh',
  'src/cli/docker-publish-watchdog.sh',
]) {
  const path = join('dist', basename(script, '.sh'))
  copyFileSync(script, path)
  chmodSync(path, 0o755)
}

/**
 * Leaves a module in a file of its own.
 * @param {RegExp} filter what is imported
 * @param {string} path the file beside this one
 */
function apart(filter, path) {
  return /** @type {import('esbuild').Plugin} */ ({
    name: 'apart',
    setup(build) {
      build.onResolve({ filter }, ({ kind }) =>
        kind === 'entry-point' ? undefined : { path, external: true },
      )
    },
  })
}
