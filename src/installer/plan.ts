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

/** The programs, and the files of the system. */
export interface Places {
  /** dockerd's daemon.json. */
  readonly configFile: string
  /** systemd's folder of units. */
  readonly unitDir: string
  /** docker-proxy, as dockerd is to start it. */
  readonly proxy: string
  /** docker-proxyd, with what runs it. */
  readonly proxyd: readonly string[]
}

/**
 * What installing changes; nothing where all is as it is to be.
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
      // What was there before us stays kept; with another's docker-proxy in it, that is what is there now.
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
 * What taking it back changes.
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
      `${configFile} names ${String(named)}: run the uninstall-userland-proxy of that one`,
    )
  }
  // Another docker-proxy is not ours to take out.
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

/** Whether it is a docker-proxy of this project, this one or another: that has a docker-proxyd beside it. */
function isOurs(proxy: unknown): boolean {
  return typeof proxy === 'string' && existsSync(join(dirname(proxy), 'docker-proxyd'))
}

/** Whether it is one that an installation of ours has put in, and that is gone from its folder by now. */
function wasOurs(proxy: unknown, { configFile }: Places): proxy is string {
  if (typeof proxy !== 'string' || existsSync(proxy)) return false
  // Where there was no daemon.json before it, there is no copy of it.
  const isAlone = readText(configFile) === withProxy(configFile, undefined, proxy)
  return isAlone || existsSync(backupOf(configFile))
}
