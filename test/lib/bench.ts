import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { Value } from 'typebox/value'
import { Results } from '../../bench/lib/results.js'
import { inCleanEnvironment } from './program.js'

const SCRIPT = resolve('scripts/bench.sh')

export interface Bench {
  readonly child: ChildProcess
  readonly stdout: Promise<string>
  readonly stderr: Promise<string>
  readonly exit: Promise<number | null>
  readonly folder: string
  results(): Results
  /** Processes of the benchmark that still run. */
  leftOvers(): string[]
}

/** Starts the benchmark as `npm run bench` does, in a process group of its own as a shell would. */
export function startBench(
  t: Test,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  folder = t.testdir(),
): Bench {
  const mark = `BENCH_MARK=${randomUUID()}`
  const [command, commandArgs] = inCleanEnvironment(
    'sh',
    [SCRIPT, 'bench/bench.ts', '--out', folder, ...args],
    { ...env, BENCH_MARK: mark.split('=')[1] },
  )
  const child = spawn(command, commandArgs, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  t.teardown(async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    await exit
  })
  return {
    child,
    stdout: text(child.stdout),
    stderr: text(child.stderr),
    exit,
    folder,
    results: () => {
      const value: unknown = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8'))
      t.same([...Value.Errors(Results, value)], [], 'results.json is as documented')
      return value as Results
    },
    leftOvers: () => processesWith(mark),
  }
}

function processesWith(variable: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(variable)
      } catch {
        return false // It has ended meanwhile.
      }
    })
}
