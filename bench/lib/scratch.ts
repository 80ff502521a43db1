import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundles } from './places.js'

let folder: string | undefined

/** A path for configuration and other temporary files, which are removed with the bundles. */
export function scratchPath(name: string): string {
  folder ??= mkdtempSync(join(bundles(), 'scratch-'))
  return join(folder, name)
}

/** @returns the file's path */
export function writeScratch(name: string, text: string): string {
  const path = scratchPath(name)
  writeFileSync(path, text)
  return path
}
