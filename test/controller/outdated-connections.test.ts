import { networkInterfaces } from 'node:os'
import t from 'tap'
import { OutdatedConnections } from '../../src/controller/outdated-connections.js'
import type { TrackedConnection } from '../../src/linux/netfilter/conntrack.js'
import type { TranslatedPort } from '../../src/linux/netfilter/translated-port.js'

const own = Object.values(networkInterfaces())[0]?.[0]?.address ?? '127.0.0.1'
const WEB = '172.17.0.2'
const HEIR = '172.17.0.3'

const port = (containerIp: string, parts: Partial<TranslatedPort> = {}): TranslatedPort => ({
  ...{ protocol: 'udp', ip: '0.0.0.0', port: 53, containerIps: [containerIp], containerPort: 5353 },
  ...parts,
})

/** A flow to port 53. @param replier the container; without one the proxy answers */
const flow = (replier?: string, parts: Partial<TrackedConnection> = {}): TrackedConnection => {
  const destination = { ip: own, port: 53 }
  return {
    ...{ protocol: 'udp', client: { ip: '192.0.2.9', port: 4000 }, destination },
    replier: replier === undefined ? destination : { ip: replier, port: 5353 },
    ...parts,
  }
}

/** The flows that are forgotten. */
async function forgotten(
  outdated: OutdatedConnections,
  current: readonly TranslatedPort[],
  flows: readonly TrackedConnection[],
): Promise<TrackedConnection[]> {
  const found: TrackedConnection[] = []
  await outdated.forget(
    (matches) => {
      found.push(...flows.filter(matches))
      return Promise.resolve(found.length)
    },
    () => current,
  )
  return found
}

t.test('flows to a container that has left are forgotten, and no others', async (t) => {
  const outdated = new OutdatedConnections()
  const [before, after] = [port(WEB), port(HEIR)]
  outdated.addChange([before], [after])
  const old = flow(WEB)
  const proxied = flow()
  const others = [
    flow(HEIR),
    flow('172.17.0.9'),
    flow(WEB, { protocol: 'tcp' }),
    flow(WEB, { destination: { ip: own, port: 54 } }),
    // Flows of containers to servers elsewhere.
    flow(undefined, {
      destination: { ip: '192.0.2.1', port: 53 },
      replier: { ip: '192.0.2.1', port: 53 },
    }),
  ]
  t.same(await forgotten(outdated, [after], [old, proxied, ...others]), [old, proxied])
  t.ok(outdated.isEmpty)
  t.same(await forgotten(outdated, [after], [old]), [], 'once')
})

t.test('connections of TCP that a proxy serves stay with the proxy', async (t) => {
  const outdated = new OutdatedConnections()
  const tcp = port(WEB, { protocol: 'tcp' })
  outdated.addChange([], [tcp])
  t.same(await forgotten(outdated, [tcp], [flow(undefined, { protocol: 'tcp' })]), [])
})

t.test('after a restart, a flow to any container but the current one is forgotten', async (t) => {
  const outdated = new OutdatedConnections()
  outdated.addWithAnyContainer(port(WEB))
  t.same(await forgotten(outdated, [port(HEIR)], [flow(WEB), flow(HEIR), flow()]), [flow(WEB)])
})

t.test('a change is remembered until the connections are forgotten', async (t) => {
  const outdated = new OutdatedConnections()
  outdated.addChange([port(WEB)], [])
  await t.rejects(
    outdated.forget(
      () => Promise.reject(new Error('EPERM')),
      () => [],
    ),
    /EPERM/,
  )
  t.notOk(outdated.isEmpty)
  const meanwhile = port(HEIR, { port: 54 })
  await outdated.forget(
    () => {
      outdated.addChange([meanwhile], [])
      return Promise.resolve(0)
    },
    () => [],
  )
  t.notOk(outdated.isEmpty, 'a change that came meanwhile is remembered as well')
})
