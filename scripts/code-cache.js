/** V8's code caches of programs, see src/program-loader.ts. */
import { execFileSync, spawn } from 'node:child_process'
import console from 'node:console'
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const RECORD = fileURLToPath(import.meta.resolve('./record-code-cache.js'))
/** Time that a run may take, milliseconds. */
const TIMEOUT_MS = 20_000

/** A short run of each program: its arguments, and what it reads from stdin. */
const RUNS = {
  'docker-proxy-process': {
    args: '-proto tcp -host-ip 127.0.0.1 -host-port 0 -container-ip 127.0.0.1 -container-port 1',
    input: '',
  },
  'docker-proxyd': { args: '--help', input: '' },
  'docker-publish': { args: '--help', input: '' },
  'docker-publish-shared': {
    args: 'none',
    input: JSON.stringify({ ports: [], backends: { backends: [], holdMs: 0 } }),
  },
}

/**
 * Writes the caches of all programs, and removes others. A program works without its cache, so a failure is only reported.
 * @param {string} folder of the programs
 * @param {string} node the path of the Node that will run them
 */
export async function writeCodeCaches(folder, node) {
  for (const name of readdirSync(folder)) if (name.endsWith('.cache')) rmSync(join(folder, name))
  const name = 'process.arch + "-" + process.versions.v8'
  const version = execFileSync(node, ['-p', name], { encoding: 'utf8' }).trim()
  for (const [program, run] of Object.entries(RUNS)) {
    const path = resolve(folder, program)
    const [, suffix = ''] = /(-\w+\.cache)/.exec(readFileSync(path, 'utf8')) ?? []
    const child = spawn(
      node,
      [RECORD, path, path + '.' + version + suffix, ...run.args.split(' ')],
      {
        env: {
          PATH: process.env['PATH'],
          DOCKER_PROXY_ISOLATION: 'process',
          DOCKER_PROXY_LOG_LEVEL: 'silent',
        },
        // The last one is the status pipe.
        stdio: ['pipe', 'ignore', 'inherit', 'pipe'],
        timeout: TIMEOUT_MS,
      },
    )
    child.stdin?.end(run.input)
    child.stdio[3]?.once('data', () => child.kill('SIGINT'))
    const [code] = await once(child, 'exit')
    if (code !== 0) console.warn(`${program} has no code cache, so it starts more slowly`)
  }
}
