import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  backupOf,
  proxyOf,
  readDaemonJson,
  readText,
  withoutProxy,
  withProxy,
} from './daemon-json.js'
import { isChange, type FileChange } from './file-change.js'
import { UNIT, unitFile, WANTED_BY } from './systemd-unit.js'

/** The programs to install, and the files of the system. */
export interface Places {
  /** dockerd's daemon.json. */
  readonly configFile: string
  /** systemd's folder of units. */
  readonly unitDir: string
  /** The docker-proxy that dockerd will start. */
  readonly proxy: string
  /** The command line of docker-proxyd. */
  readonly proxyd: readonly string[]
}

/**
 * Plans an installation.
 * @returns the changes; none if everything is installed
 * @throws Error with a sentence for the user
 */
export function installation(places: Places): FileChange[] {
  const { configFile, unitDir, proxy, proxyd } = places
  const before = readDaemonJson(configFile)
  const named = proxyOf(configFile, before)
  const config: FileChange = {
    path: configFile,
    before,
    after: named === proxy ? before : withProxy(configFile, before, proxy),
  }
  const backup = backupOf(configFile)
  const kept = readText(backup)
  const changes: FileChange[] = [
    {
      path: backup,
      before: kept,
      // The backup keeps the file from before our first installation. If another docker-proxy was configured meanwhile, it keeps the
      // current file.
      after: isChange(config) && !isOurs(named) && !wasOurs(named, places) ? before : kept,
      like: configFile,
      note: before === undefined ? 'removed' : `a copy of ${configFile} as it is now`,
    },
    config,
  ]
  if (existsSync(unitDir)) {
    const path = join(unitDir, UNIT)
    changes.push({ path, before: readText(path), after: unitFile(proxyd) })
  }
  return changes.filter(isChange)
}

/**
 * Plans the removal of an installation.
 * @returns the changes
 * @throws Error with a sentence for the user
 */
export function removal(places: Places): FileChange[] {
  const { configFile, unitDir, proxy } = places
  const before = readDaemonJson(configFile)
  const backup = backupOf(configFile)
  const kept = readText(backup)
  const changes: FileChange[] = []
  const named = proxyOf(configFile, before)
  if (named !== proxy && isOurs(named)) {
    throw new Error(
      `${configFile} names ${String(named)}: run the uninstall-userland-proxy of that installation`,
    )
  }
  // A docker-proxy of another project is not removed.
  if (before !== undefined && (named === proxy || wasOurs(named, places))) {
    const wasInstalled = kept !== undefined && before === withProxy(configFile, kept, named)
    const after = wasInstalled ? kept : withoutProxy(configFile, before, kept)
    changes.push({ path: configFile, before, after })
  }
  changes.push({ path: backup, before: kept, after: undefined, note: 'removed' })
  for (const folder of ['', ...WANTED_BY.map((target) => `${target}.wants`)]) {
    const path = join(unitDir, folder, UNIT)
    changes.push({ path, before: readText(path), after: undefined, note: 'removed' })
  }
  return changes.filter(isChange)
}

/** Whether a docker-proxy is from any installation of this project: it has a docker-proxyd beside it. */
function isOurs(proxy: unknown): boolean {
  return typeof proxy === 'string' && existsSync(join(dirname(proxy), 'docker-proxyd'))
}

/** Whether a docker-proxy is from an installation of this project that was deleted. */
function wasOurs(proxy: unknown, { configFile }: Places): proxy is string {
  if (typeof proxy !== 'string' || existsSync(proxy)) return false
  // Without an earlier daemon.json there is no backup.
  const isAlone = readText(configFile) === withProxy(configFile, undefined, proxy)
  return isAlone || existsSync(backupOf(configFile))
}
