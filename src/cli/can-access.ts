import { accessSync } from 'node:fs'

/** @param mode of access(2), as constants.X_OK */
export function canAccess(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}
