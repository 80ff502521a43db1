import { setTimeout as delay } from 'node:timers/promises'
import { errnoReason } from '../linux/errno.js'
import { forgetConnections, type TrackedConnection } from '../linux/netfilter/conntrack.js'
import { withdrawForAll, type PublicationChain } from '../linux/netfilter/withdrawal.js'
import type { Log } from '../log/log.js'
import type { PublishedPort } from '../proxy/published-port.js'

/** Attempts to change the kernel's tables, and time between two, milliseconds. */
const ATTEMPTS = 10
const RETRY_MS = 500

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
  await tryAgain('remove the rules that lead to a container', log, () => withdrawForAll(chain))
  await tryAgain('forget the connections to a container', log, async () => {
    const matches = ({ protocol, destination, replier }: TrackedConnection): boolean =>
      ports.some(
        ({ port, container, ...own }) =>
          own.protocol === protocol &&
          destination.port === port &&
          replier.ip === ip &&
          replier.port === container.port,
      )
    await forgetConnections(matches, [ip])
  })
}

/** Never rejects. */
async function tryAgain(what: string, log: Log, action: () => unknown): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      await action()
      return
    } catch (err) {
      // For example, no descriptor is left.
      log.warn(`Can't ${what}: ${errnoReason(err)}`)
      await delay(RETRY_MS, undefined, { ref: false })
    }
  }
}
