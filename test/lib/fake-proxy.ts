import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execaSync } from 'execa'
import type { Test } from 'tap'
import type { ProxyProgram } from '../../src/supervisor/proxy-program.js'

/** A program that behaves like a docker-proxy towards its parent, but forwards nothing. */
export interface FakeProxy {
  readonly program: ProxyProgram
  readonly runFolder: string
  /** The command lines that it was started with so far. */
  starts(): string[]
  /** Makes starts fail whose command line contains `flag`. @param reason for the status pipe */
  failFor(flag: string, reason: string): void
}

/** @param takesSocket whether it accepts a listening socket, like Docker's own from release 28 on */
export function makeFakeProxy(t: Test, takesSocket = true): FakeProxy {
  const folder = mkdtempSync(join(tmpdir(), 'fake-proxy-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'docker-proxy')
  const log = join(folder, 'log')
  const failures = join(folder, 'failures')
  const fifo = join(folder, 'fifo')
  execaSync('mkfifo', [fifo])
  writeFileSync(log, '')
  writeFileSync(failures, '')
  writeFileSync(
    path,
    `#!/bin/sh
echo "$*" >>'${log}'
while read -r flag reason; do
  case " $* " in *" $flag "*) printf '1\\n%s' "$reason" >&3; exit 1 ;; esac
done <'${failures}'
printf '0\\n' >&3
exec 3>&-
# It waits for a writer that never comes. It must not become another program: meanwhile its environment can't be read.
read -r _ <'${fifo}'
`,
  )
  chmodSync(path, 0o755)
  return {
    program: { path, takesSocket, isOurs: false },
    runFolder: join(folder, 'run'),
    starts: () => readFileSync(log, 'utf8').split('\n').slice(0, -1),
    failFor: (flag, reason) => writeFileSync(failures, `${flag} ${reason}\n`, { flag: 'a' }),
  }
}
