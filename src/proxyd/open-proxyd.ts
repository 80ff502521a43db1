import { unlinkSync } from 'node:fs'
import { NodePoller } from '../linux/sockets/node-poller.js'
import type { StderrLog } from '../log/stderr-log.js'
import { releaseMemorySoon } from '../memory/release-memory.js'
import { Engines } from '../proxy/choose-engine.js'
import { DescriptorBudget } from '../proxy/descriptor-budget.js'
import type { Settings } from '../proxy/settings.js'
import { Proxyd } from './proxyd.js'
import { RunFolder, statusSocketPath } from './run-folder.js'
import { takeOver } from './takeover.js'

/**
 * Serves the docker-proxies of a run folder from now on.
 * @param option the command-line option that names another folder
 * @param replace whether to replace a docker-proxyd that runs there
 * Rejects with a sentence for the user if the folder can't be used.
 */
export async function openProxyd(
  runDir: string,
  settings: Settings,
  log: StderrLog,
  { option = '--run-dir', replace = false } = {},
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
  const takeover = replace ? await takeOver(statusSocketPath(runDir)) : undefined
  const folder = RunFolder.open(runDir, option, takeover?.lock)
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

function removeSocket(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // There is none, or the path is a folder.
  }
}
