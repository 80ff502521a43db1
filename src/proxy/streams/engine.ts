import type { Socket } from 'node:net'
import type { Counters, Engine, Proxy, ProxyContext } from '../engine.js'
import type { PublishedPort } from '../published-port.js'
import { openListener, type Listener } from './listener.js'
import { openRelay, type Relay } from './relay.js'

/** The portable engine: Node's own streams with backpressure. */
export const streamsEngine: Engine = { name: 'streams', listen }

async function listen(port: PublishedPort, context: ProxyContext): Promise<Proxy> {
  const { log, descriptors } = context
  const counters: Counters = { accepted: 0, active: 0, failedDials: 0 }
  const relays = new Set<Relay>()
  const { promise: closed, resolve, reject } = deferred()
  closed.catch(() => undefined) // Whoever cares listens too.

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
    log.warn(`Out of file descriptors: ${what} until others end`, { limit: descriptors.capacity })
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

function deferred(): {
  promise: Promise<void>
  resolve: () => void
  reject: (reason: Error) => void
} {
  let resolve!: () => void
  let reject!: (reason: Error) => void
  const promise = new Promise<void>((ok, fail) => {
    resolve = ok
    reject = fail
  })
  return { promise, resolve, reject }
}
