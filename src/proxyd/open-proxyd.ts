import { NodePoller } from '../linux/node-poller.js'
import type { Log } from '../log/log.js'
import { chooseEngine } from '../proxy/choose-engine.js'
import { DescriptorBudget } from '../proxy/descriptor-budget.js'
import type { Settings } from '../proxy/settings.js'
import { Proxyd } from './proxyd.js'
import { openRunFolder, statusSocketOf } from './run-folder.js'
import { takeOver } from './takeover.js'

/**
 * Serves the docker-proxies of a folder from now on.
 * @param replace whether to take the place of one that does so already
 * Rejects with a sentence when the folder can't be had.
 */
export async function openProxyd(
  runDir: string,
  settings: Settings,
  log: Log,
  replace: boolean,
): Promise<Proxyd> {
  const engine = chooseEngine(settings, (reason) =>
    log.debug('The engine is streams: native does not load', { reason }),
  )
  const descriptors = new DescriptorBudget()
  // With what is taken over it would look as if there were less.
  log.debug('Room for ports and connections', { relays: descriptors.capacity })
  const takeover = replace ? await takeOver(statusSocketOf(runDir)) : undefined
  const folder = openRunFolder(runDir, takeover?.lock)
  const proxyd = new Proxyd({ engine, poller: new NodePoller(), folder, descriptors, log })
  await proxyd.open(takeover)
  if (takeover) log.info('Took the place of another', { other: takeover.pid })
  return proxyd
}
