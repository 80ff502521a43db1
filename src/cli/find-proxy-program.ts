import { accessSync, constants } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { inspectProxyProgram, type ProxyProgram } from '../controller/proxy-program.js'

/** The docker-proxy that came with this program. */
const OWN_PROXY = fileURLToPath(new URL('docker-proxy', import.meta.url))

/** The docker-proxy to start: the one that is named, or ours. Rejects when it can't be run. */
export async function findProxyProgram(chosen: string | undefined): Promise<ProxyProgram> {
  const path = chosen ?? process.env['DOCKER_PUBLISH_PROXY_PATH'] ?? ''
  if (path !== '') return inspectProxyProgram(path)
  accessSync(OWN_PROXY, constants.X_OK)
  return { path: OWN_PROXY, takesSocket: true, isOurs: true }
}
