import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder for configurations and the like; it is gone at the end. */
export const scratch = mkdtempSync(join(tmpdir(), 'bench-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

/** @returns the file's path */
export function writeScratch(name: string, text: string): string {
  const path = join(scratch, name)
  writeFileSync(path, text)
  return path
}
