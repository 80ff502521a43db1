import { statSync } from 'node:fs'
import { join } from 'node:path'
import { processStartDate } from '../linux/proc/process.js'
import { launchersOf } from './launcher.js'
import { CONTROL_NAME } from './run-folder.js'

/** Launchers that wait for a docker-proxyd. */
export interface WaitingLaunchers {
  readonly count: number
  /** When the first of them was started, ISO 8601. */
  readonly since: string
}

/** Finds the launchers of a run folder that no docker-proxyd serves. @returns undefined if there are none, or they can't be seen */
export function waitingLaunchers(runFolder: string): WaitingLaunchers | undefined {
  let launchers: number[]
  try {
    launchers = launchersOf(statSync(join(runFolder, CONTROL_NAME)))
  } catch {
    return undefined // No docker-proxyd was ever started here.
  }
  const starts = launchers.flatMap((pid) => processStartDate(pid) ?? [])
  if (starts.length === 0) return undefined
  return { count: starts.length, since: new Date(Math.min(...starts)).toISOString() }
}
