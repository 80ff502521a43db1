import { unlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { FolderInUseError } from '../linux/folder-lock.js'
import { NodePoller } from '../linux/sockets/node-poller.js'
import type { StderrLog } from '../log/stderr-log.js'
import { releaseMemorySoon } from '../memory/release-memory.js'
import { Engines } from '../proxy/choose-engine.js'
import { DescriptorBudget } from '../proxy/descriptor-budget.js'
import type { Settings } from '../proxy/settings.js'
import { Proxyd } from './proxyd.js'
import { announcedServer, RunFolder, statusSocketPath } from './run-folder.js'
import { takeOver, type Takeover } from './takeover.js'

/** Time that a docker-proxyd has from taking a folder until launchers find it, or from their last look until it ends, milliseconds. */
const CHANGE_MS = 5_000
/** Time between two looks at a folder that another process is about to serve or leave, milliseconds. */
const LOOK_MS = 20

export interface ProxydOptions {
  /** The command-line option that names another folder. */
  readonly option?: string
  /** Whether to replace a docker-proxyd that runs there. One that launchers have started is always replaced. */
  readonly replace?: boolean
  /** Whether launchers have started this process. */
  readonly isOnDemand?: boolean
}

/**
 * Serves the docker-proxies of a run folder from now on.
 * Rejects with FolderInUseError, or with a sentence for the user if the folder can't be used.
 */
export async function openProxyd(
  runDir: string,
  settings: Settings,
  log: StderrLog,
  options: ProxydOptions = {},
): Promise<Proxyd> {
  const engines = new Engines(log)
  // An engine that is not available is reported before anything is taken over.
  engines.engineFor(settings)
  const descriptors = DescriptorBudget.ofProcess(settings.workers)
  // The first read measures the capacity. Sockets that were taken over would lower it.
  if (!descriptors.hasRoomForPort) {
    throw Object.assign(new Error('too many open files'), { code: 'EMFILE' })
  }
  log.debug('Room for ports and connections', { relays: descriptors.capacity })
  const { folder, takeover } = await takeFolder(runDir, options)
  const poller = new NodePoller()
  const proxyd = new Proxyd({ settings, engines, poller, folder, descriptors, log })
  try {
    await proxyd.open(takeover)
  } catch (err) {
    // After a failed takeover the socket belongs to the other process again.
    if (!takeover) removeSocket(folder.socketPath)
    folder.close()
    throw err
  }
  if (takeover) log.info('Took over from another docker-proxyd', { predecessor: takeover.pid })
  releaseMemorySoon()
  return proxyd
}

/** Rejects with FolderInUseError; with a sentence for the user. */
async function takeFolder(
  runDir: string,
  { option = '--run-dir', replace = false, isOnDemand = false }: ProxydOptions,
): Promise<{ folder: RunFolder; takeover?: Takeover }> {
  const deadline = Date.now() + CHANGE_MS
  for (;;) {
    const replaces = replace || (!isOnDemand && announcedServer(runDir)?.isOnDemand === true)
    const takeover = replaces ? await takeOver(statusSocketPath(runDir)) : undefined
    try {
      const folder = RunFolder.open(runDir, option, isOnDemand, takeover?.lock)
      return { folder, ...(takeover && { takeover }) }
    } catch (err) {
      const server = announcedServer(runDir)
      const isChanging = server === undefined || (server.isOnDemand && !isOnDemand)
      if (!(err instanceof FolderInUseError && isChanging && Date.now() < deadline)) throw err
      await delay(LOOK_MS)
    }
  }
}

function removeSocket(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // There is none, or the path is a folder.
  }
}
