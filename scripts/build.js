/**
 * Bundles each program into one file under dist/, because a start that reads many small files is slow.
 * The bundles are CommonJS, which Node starts one or two milliseconds faster than modules.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createHash } from 'node:crypto'
import { basename, dirname, join, resolve } from 'node:path'
import console from 'node:console'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { writeCodeCaches } from './code-cache.js'

process.chdir(fileURLToPath(import.meta.resolve('..')))
const { build } = await import('esbuild').catch(() => {
  console.error("can't build without the development packages: run npm ci, without --omit=dev")
  process.exit(1)
})
/** @type {{ version: string, engines: { node: string } }} */
const { version, engines } = JSON.parse(readFileSync('package.json', 'utf8'))

/** @returns {string} the commit of this build; outside a checkout it comes from BUILD_COMMIT */
function commit() {
  const given = process.env['BUILD_COMMIT']
  if (given) return given
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}

// The new folder replaces the old one when it is complete, because a dockerd may be using the old one.
const NEXT = 'dist.next'
const OLD = 'dist.old'
for (const folder of [NEXT, OLD]) rmSync(folder, { recursive: true, force: true })
mkdirSync(NEXT)
writeFileSync(join(NEXT, 'package.json'), '{ "type": "commonjs" }\n')

/** @type {import('esbuild').BuildOptions} */
const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  legalComments: 'none',
  // V8 keeps the source in memory. Names stay, for stack traces; lines stay short, because Node prints the one that threw.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 120,
  // Code from a cache can't import.
  supported: { 'dynamic-import': false },
  logLevel: 'warning',
  metafile: true,
}

const programs = await build({
  ...common,
  entryPoints: [
    'src/docker-proxy.ts',
    'src/docker-proxyd.ts',
    'src/docker-publish.ts',
    'src/docker-publish-shared.ts',
    'src/start.ts',
    'src/proxy/native/worker-thread.ts',
    'src/daemon/daemon.ts',
    'src/metrics/own-metrics.ts',
  ],
  entryNames: '[name]',
  outdir: NEXT,
  external: ['koffi'],
  // Its default form loads its parts at run time, which can't be bundled.
  alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
  define: {
    BUILD_VERSION: JSON.stringify(version),
    BUILD_COMMIT: JSON.stringify(commit()),
    'import.meta.url': 'moduleUrl',
  },
  banner: {
    js:
      '"use strict";const moduleUrl = require("node:url").pathToFileURL(__filename).href;' +
      'const whenUsed = (name) => new Proxy({}, { get: (_, key) => require(name)[key] });',
  },
  // The daemon has most of docker-publish's code, which no other command needs.
  plugins: [
    apart(/\/pino-log\.js$/, './pino-log.js'),
    apart(/\/daemon\/daemon\.js$/, './daemon.js'),
    apart(/\/metrics\/own-metrics\.js$/, './own-metrics.js'),
    apart(/^yaml$/, './yaml.js'),
    apart(/^prom-client$/, './prom-client.js'),
  ],
})
// Under dockerd nobody reads stderr, and only people have terminals, so the code that writes lines is loaded when it is needed. In the
// first file it would cost each start two milliseconds.
const log = await build({
  ...common,
  entryPoints: ['src/log/pino-log.ts'],
  outfile: join(NEXT, 'pino-log.js'),
  plugins: [apart(/^pino-pretty$/, './pino-pretty.js')],
})
const pretty = await build({
  ...common,
  entryPoints: ['pino-pretty'],
  outfile: join(NEXT, 'pino-pretty.js'),
})
// Few commands read compose files.
const yaml = await build({ ...common, entryPoints: ['yaml'], outfile: join(NEXT, 'yaml.js') })
// A daemon without --metrics does not need it.
const prometheus = await build({
  ...common,
  entryPoints: ['prom-client'],
  outfile: join(NEXT, 'prom-client.js'),
})
writeFileSync(
  join(NEXT, 'THIRD-PARTY-LICENSES.txt'),
  licences([programs, log, pretty, yaml, prometheus]),
)

// Loading node:net takes two milliseconds, and the native engine does not need it.
const SLOW_MODULES =
  /require\("node:(net|tty|dgram|worker_threads|v8|stream|readline|timers\/promises)"\)/g
for (const program of ['docker-proxy', 'start']) {
  const path = join(NEXT, `${program}.js`)
  writeFileSync(path, readFileSync(path, 'utf8').replace(SLOW_MODULES, 'whenUsed("node:$1")'))
}

const STARTED_BY_USERS = ['docker-proxyd', 'docker-publish']
/** With too few descriptors Node aborts without a sentence. It needs 20, and 3 more where the kernel has io_uring. */
const MIN_DESCRIPTORS = 25
const PROGRAMS = [
  'docker-proxy-process',
  'docker-proxyd',
  'docker-publish',
  'docker-publish-shared',
]
// dockerd needs the path of a program without a suffix, and `ps` shows it.
renameSync(join(NEXT, 'docker-proxy.js'), join(NEXT, 'docker-proxy-process.js'))
for (const program of PROGRAMS) {
  const path = join(NEXT, program)
  const bundle = `(function (exports, require, module, __filename, __dirname) {${readFileSync(`${path}.js`, 'utf8')}\n})`
  writeFileSync(`${path}.js`, bundle)
  writeFileSync(path, header(program) + (await loader(bundle)))
  chmodSync(path, 0o755)
}
await writeCodeCaches(NEXT, process.execPath)
for (const script of [
  'src/proxyd/docker-proxy.sh',
  'src/proxyd/docker-proxyd-start.sh',
  'src/supervisor/docker-publish-shim',
  'src/cli/docker-publish-watchdog',
]) {
  const path = join(NEXT, basename(script, '.sh'))
  const text = readFileSync(script, 'utf8')
    // A script that reads another one would be slower, and a copy of it elsewhere would not find that.
    .replace(/^\. (.*)$/m, (_, /** @type {string} */ part) =>
      readFileSync(join(dirname(script), part), 'utf8'),
    )
    // A copy of the launcher elsewhere finds the program by this path.
    .replace('@FOLDER@', resolve('dist'))
    .replace('@MIN_DESCRIPTORS@', String(MIN_DESCRIPTORS))
    // A shell keeps its script in memory: comments would cost a page in each of a thousand launchers.
    .replace(/^ *#(?!!).*\n/gm, '')
  const [shebang, ...lines] = text.split('\n')
  writeFileSync(path, [shebang, `# Built from ${script}, which has comments.`, ...lines].join('\n'))
  chmodSync(path, 0o755)
}

if (existsSync('dist')) renameSync('dist', OLD)
renameSync(NEXT, 'dist')
rmSync(OLD, { recursive: true, force: true })

/**
 * The text of src/program-loader.ts for a bundle.
 * @param {string} bundle
 * @returns {Promise<string>}
 */
async function loader(bundle) {
  const id = createHash('sha256').update(bundle).digest('hex').slice(0, 12)
  const { outputFiles } = await build({
    ...common,
    entryPoints: ['src/program-loader.ts'],
    define: { BUNDLE_ID: JSON.stringify(id) },
    write: false,
  })
  return outputFiles[0]?.text ?? ''
}

/**
 * The first lines of a program. A script for sh, which is a string and a comment for Node, checks the limit of descriptors, and starts
 * Node with our own NODE_OPTIONS, see src/linux/node-options.ts; the parents of the other programs have done both. Then an old Node prints a
 * sentence instead of a stack trace. dockerd gets it over the status pipe, descriptor 3.
 * @param {string} program
 * @returns {string}
 */
function header(program) {
  // docker asks its plugins at every `docker help`, so no Node is started for the reply.
  const metadata = JSON.stringify({
    SchemaVersion: '0.1.0',
    Vendor: 'docker-proxy',
    Version: version,
    ShortDescription: 'Publish ports of running containers',
  })
  const reply =
    program === 'docker-publish'
      ? `[ "$1" != docker-cli-plugin-metadata ] || { echo '${metadata}'; exit; }; `
      : ''
  const [, major, minor] = /^>=(\d+)\.(\d+)$/.exec(engines.node) ?? []
  const needs = `"${program.replace('-process', '')} needs Node ${major}.${minor} or later, and this is " + process.version + ": install a newer one, or put it first in PATH"`
  const isOld = `((version) => version[0] < ${major} || (version[0] == ${major} && version[1] < ${minor}))(process.versions.node.split("."))`
  const tellParent = `try { require("fs").writeSync(3, "1\\n" + reason) } catch {}`
  const start = STARTED_BY_USERS.includes(program)
    ? `#!/bin/sh\n":" //; ${reply}${checkLimit(program)}; export NODE_OPTIONS=--inspect-port=192.0.2.1:9229; exec node "$0" "$@"`
    : '#!/usr/bin/env node'
  return `${start}
"use strict";
if (${isOld}) ((reason) => { ${program === 'docker-proxy-process' ? tellParent : ''} console.error(reason); process.exit(1) })(${needs});
`
}

/**
 * @param {string} program
 * @returns {string} commands of sh
 */
function checkLimit(program) {
  const message = `${program}: too many open files: the limit is $limit; raise it, for example with ulimit -n 1024`
  const isEnough = `[ "$limit" = unlimited ] || [ "$limit" -ge ${MIN_DESCRIPTORS} ]`
  return `limit=$(ulimit -n); ${isEnough} || { echo "${message}" >&2; exit 1; }`
}

/**
 * The licences of all packages in the bundles, which have to accompany them.
 * @param {import('esbuild').BuildResult[]} results
 * @returns {string}
 */
function licences(results) {
  const inputs = results.flatMap(({ metafile }) => Object.keys(metafile?.inputs ?? {}))
  const folders = inputs.flatMap(
    (input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? [],
  )
  return [...new Set(folders)]
    .sort()
    .map((folder) => {
      const { name, version, license } = JSON.parse(
        readFileSync(join(folder, 'package.json'), 'utf8'),
      )
      const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
      const text = file ? readFileSync(join(folder, file), 'utf8').trim() : `License: ${license}`
      return `${name} ${version}\n\n${text}\n`
    })
    .join(`\n${'-'.repeat(80)}\n\n`)
}

/**
 * Keeps a module in its own file.
 * @param {RegExp} filter the import
 * @param {string} path the module's file beside this one
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
