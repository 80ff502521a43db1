import type { Socket } from 'node:net'
import type { Counters, Proxy, ProxyContext } from '../engine.js'
import type { PublishedPort } from '../published-port.js'
import { deferred } from '../../deferred.js'
import { openListener, type Listener } from './tcp-listener.js'
import { openRelay, type Relay } from './tcp-relay.js'

/** Publishes a TCP port on Node's streams. Rejects with ListenError. */
export async function listenTcp(port: PublishedPort, context: ProxyContext): Promise<Proxy> {
  const { log, descriptors } = context
  const counters: Counters = { accepted: 0, active: 0, failedDials: 0 }
  const relays = new Set<Relay>()
  const { promise: closed, resolve, reject } = deferred()

  const connection = (client: Socket): void => {
    counters.accepted++
    counters.active++
    descriptors.take()
    const relay = openRelay(client, port, log, (outcome) => {
      relays.delete(relay)
      counters.active--
      if (outcome === 'failed-dial') counters.failedDials++
      descriptors.give()
    })
    relays.add(relay)
    if (descriptors.exhausted) waitForDescriptors()
  }

  const waitForDescriptors = (): void => {
    const paused = listener.pause()
    const tell = descriptors.wait(paused ? wake : () => undefined)
    if (!tell) return
    const what = paused ? 'new connections wait' : 'new connections may be dropped'
    log.warn(`Out of file descriptors: ${what} until others end`, {
      connections: descriptors.capacity,
    })
  }
  const wake = (): void => listener.resume()

  const close = (reason?: Error): void => {
    descriptors.forget(wake)
    listener.close()
    for (const relay of relays) relay.destroy()
    if (reason) reject(reason)
    else resolve()
  }

  const listener: Listener = await openListener(port, { connection, broken: close })
  return { address: listener.address, counters, close: () => close(), closed }
}
