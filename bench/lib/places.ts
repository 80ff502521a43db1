import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

/** The folders of the project and of the programs of bench/load, set by the script that builds and starts the benchmark. */
export const ROOT = resolve(process.env['BENCH_ROOT'] ?? '.')
const BUNDLES = process.env['BENCH_BUNDLES']

/** The folder of the programs that were built for this run. It is removed at the end. */
export function bundles(): string {
  if (!BUNDLES) throw new Error('to be started by scripts/bench.sh')
  return BUNDLES
}

/** Called by programs that the script has started: only these may remove the programs that were built for them. */
export function removeBundlesAtEnd(): void {
  process.on('exit', () => rmSync(bundles(), { recursive: true, force: true }))
}

/** A program of this project, as it is installed. */
export function builtProgram(name: 'docker-proxy' | 'docker-proxyd' | 'docker-publish'): string {
  return resolve(ROOT, 'dist', name)
}

/** A program of bench/load. */
export function loadProgram(name: string): string {
  return resolve(bundles(), `${name}.js`)
}

/** A file of a package that the project depends on. */
export function packageFile(path: string): string {
  return createRequire(resolve(ROOT, 'package.json')).resolve(path)
}
