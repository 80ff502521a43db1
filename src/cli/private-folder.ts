import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Ends the proxies after this process, as the script itself explains. */
const WATCHDOG = fileURLToPath(new URL('docker-publish-watchdog', import.meta.url))

/** Makes a run folder for proxies that must not outlive this process, even if it is killed. */
export function makePrivateFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'docker-publish-'))
  const watchdog = spawn(WATCHDOG, [folder], {
    // In its own process group: it must outlive this process, and Ctrl-C must not reach it.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  watchdog.unref()
  return folder
}
