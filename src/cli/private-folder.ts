import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Ends the proxies after us, and says in its own words how. */
const WATCHDOG = fileURLToPath(new URL('docker-publish-watchdog', import.meta.url))

/**
 * A run folder for proxies that must not outlive this process: not even when it is killed.
 */
export function makePrivateFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'docker-publish-'))
  const watchdog = spawn(WATCHDOG, [folder], {
    // Ctrl-C on our terminal is for us; it must outlive us.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  watchdog.unref()
  return folder
}
