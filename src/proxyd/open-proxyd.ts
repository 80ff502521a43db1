import { unlinkSync } from 'node:fs'
import { NodePoller } from '../linux/node-poller.js'
import type { StderrLog } from '../log/log.js'
import { Engines } from '../proxy/choose-engine.js'
import { DescriptorBudget } from '../proxy/descriptor-budget.js'
import type { Settings } from '../proxy/settings.js'
import { tidyUpSoon } from '../tidy-up.js'
import { Proxyd } from './proxyd.js'
import { openRunFolder, statusSocketOf } from './run-folder.js'
import { takeOver } from './takeover.js'

/**
 * Serves the docker-proxies of a folder from now on.
 * @param option the one that names another folder
 * @param replace whether to take the place of one that does so already
 * Rejects with a sentence when the folder can't be had.
 */
export async function openProxyd(
  runDir: string,
  settings: Settings,
  log: StderrLog,
  { option = '--run-dir', replace = false } = {},
): Promise<Proxyd> {
  const engines = new Engines(log)
  // What it can't have is told before anything is taken over.
  engines.of(settings)
  const descriptors = DescriptorBudget.ofProcess(settings.workers)
  // With what is taken over it would look as if there were less.
  log.debug('Room for ports and connections', { relays: descriptors.capacity })
  const takeover = replace ? await takeOver(statusSocketOf(runDir)) : undefined
  const folder = openRunFolder(runDir, option, takeover?.lock)
  const poller = new NodePoller()
  const proxyd = new Proxyd({ settings, engines, poller, folder, descriptors, log })
  try {
    await proxyd.open(takeover)
  } catch (err) {
    // The socket of the one whose place this was to take is its own again.
    if (!takeover) removeSocket(folder.socketPath)
    folder.close()
    throw err
  }
  if (takeover) log.info('Took the place of another', { other: takeover.pid })
  tidyUpSoon()
  return proxyd
}

function removeSocket(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // There is none, or what lies there is no socket.
  }
}
