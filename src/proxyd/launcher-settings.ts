import { readlinkSync, statSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import {
  chooseSettings,
  FILE_VARIABLE,
  readSettingsFile,
  SETTING_VARIABLES,
  SettingError,
  type Settings,
  type SettingsFile,
} from '../proxy/settings.js'

/** Settings files of launchers are at most this large, bytes. */
const MAX_FILE = 64 * 1024

/**
 * Reads the settings of a port that a launcher was started for: those of the launcher's environment and settings file, else ours.
 *
 * @param env the launcher's environment
 * @param processFolder its folder in /proc
 * @throws SettingError
 */
export function readLauncherSettings(
  env: NodeJS.ProcessEnv,
  processFolder: string,
  ours: Settings,
): Settings {
  if (!SETTING_VARIABLES.some((name) => env[name])) return ours
  const name = env[FILE_VARIABLE]
  return chooseSettings(env, name ? readForeignFile(name, processFolder) : undefined, ours)
}

/** Reads a file as another process names it, unless reading could delay all other ports. */
function readForeignFile(name: string, processFolder: string): SettingsFile | undefined {
  const path = isAbsolute(name) ? name : `${processFolder}/cwd/${name}`
  const [theirs, ours] = [processFolder, '/proc/self'].map((folder) =>
    readlinkSync(`${folder}/ns/mnt`),
  )
  const stats = statSync(path, { throwIfNoEntry: false })
  if (theirs !== ours || !stats?.isFile() || stats.size > MAX_FILE) {
    throw new SettingError(
      `only its own process can read its settings file ${JSON.stringify(name)}`,
    )
  }
  return readSettingsFile(path)
}
