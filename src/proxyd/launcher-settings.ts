import { statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { currentFolder, rootFolder } from '../linux/proc/process.js'
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
 * Reads the settings of a launcher's port from the launcher's environment and settings file.
 *
 * @param env the launcher's environment
 * @param ours used for what the launcher does not set
 * @throws SettingError
 */
export function readLauncherSettings(
  env: NodeJS.ProcessEnv,
  pid: number,
  ours: Settings,
): Settings {
  if (!SETTING_VARIABLES.some((name) => env[name])) return ours
  const name = env[FILE_VARIABLE]
  return chooseSettings(env, name ? readForeignFile(name, pid) : undefined, ours)
}

/**
 * Reads a file as another process names it, unless reading could delay all other ports. Under systemd this process has a mount namespace of
 * its own, so the file is read through the other process's root.
 */
function readForeignFile(name: string, pid: number): SettingsFile | undefined {
  const path = isAbsolute(name) ? rootFolder(pid) + name : join(currentFolder(pid), name)
  const stats = statSync(path, { throwIfNoEntry: false })
  if (!stats?.isFile() || stats.size > MAX_FILE) {
    throw new SettingError(
      `only its own process can read its settings file ${JSON.stringify(name)}`,
    )
  }
  return readSettingsFile(name, path)
}
