import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Test } from 'tap'
import { until } from './until.js'

/*
 * What a program of Node's holds on to. Its memory as a whole does not tell: garbage that V8 has had no reason to collect
 * yet is in it, more or less as the machine is busy.
 */

/** The environment of a program that can be asked, and the question: bytes in use once all garbage is gone. */
export function liveHeap(t: Test): {
  readonly env: NodeJS.ProcessEnv
  readonly nodeOptions: readonly string[]
  ask(pid: number): Promise<number>
} {
  const folder = mkdtempSync(join(tmpdir(), 'live-heap-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'bytes')
  return {
    env: {
      HEAP_FILE: file,
    },
    nodeOptions: ['--expose-gc', `--import=${pathToFileURL('test/lib/report-heap.mjs').href}`],
    async ask(pid) {
      writeFileSync(file, '')
      process.kill(pid, 'SIGPWR')
      const read = (): string => readFileSync(file, 'utf8')
      await until(() => read().endsWith('\n'))
      return Number(read())
    },
  }
}
