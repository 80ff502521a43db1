import { errnoReason } from '../linux/errno.js'
import { forgetConnections, type TrackedConnection } from '../linux/netfilter/conntrack.js'
import { withdrawForAll, type PublicationChain } from '../linux/netfilter/withdrawal.js'
import type { Log } from '../log/log.js'
import type { PublishedPort } from '../proxy/published-port.js'

/** Set if the kernel translates addresses for the same ports, so that some connections reach the container without the proxy: by which rules. */
export const CHAIN_VARIABLE = 'DOCKER_PROXY_CHAIN'

/** `TABLE/CHAIN`. */
export function formatChain({ table, chain }: PublicationChain): string {
  return `${table}/${chain}`
}

/** @returns undefined for no chain */
export function parseChain(text: string | undefined): PublicationChain | undefined {
  const [, table, chain] = /^([^/]+)\/(.+)$/.exec(text ?? '') ?? []
  return table && chain ? { table, chain } : undefined
}

/**
 * Ends the translation to a container that has lost its address: another one may get it. Proxies serve its clients until a daemon
 * translates again. Never rejects.
 */
export async function endTranslation(
  chain: PublicationChain,
  ports: readonly PublishedPort[],
  ip: string,
  log: Log,
): Promise<void> {
  try {
    withdrawForAll(chain)
  } catch (err) {
    log.warn(`Can't remove the rules that lead to a container: ${errnoReason(err)}`)
  }
  try {
    const matches = ({ protocol, destination, replier }: TrackedConnection): boolean =>
      ports.some(
        ({ port, container, ...own }) =>
          own.protocol === protocol &&
          destination.port === port &&
          replier.ip === ip &&
          replier.port === container.port,
      )
    await forgetConnections(matches, [ip])
  } catch (err) {
    log.warn(`Can't forget the connections to a container: ${errnoReason(err)}`)
  }
}
