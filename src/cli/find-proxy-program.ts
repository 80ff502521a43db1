import { accessSync, constants } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { checkEnvironment } from '../proxy/settings.js'
import { inspectProxyProgram, type ProxyProgram } from '../supervisor/proxy-program.js'
import { environmentSetting } from './environment.js'

/** The docker-proxy of this installation. */
const OWN_PROXY = fileURLToPath(new URL('docker-proxy', import.meta.url))

/**
 * Finds the docker-proxy to start: the chosen one, else ours.
 * Rejects if it can't be run, and with SettingError for settings of the environment.
 */
export async function findProxyProgram(chosen: string | undefined): Promise<ProxyProgram> {
  const path = chosen ?? environmentSetting('DOCKER_PUBLISH_PROXY_PATH') ?? ''
  if (path !== '') return inspectProxyProgram(path)
  accessSync(OWN_PROXY, constants.X_OK)
  // An invalid setting is reported here once, not by each proxy.
  checkEnvironment(process.env)
  return { path: OWN_PROXY, takesSocket: true, isOurs: true }
}
