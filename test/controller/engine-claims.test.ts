import { createServer } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { EngineClaims, nameContainer } from '../../src/controller/engine-claims.js'
import type { Containers } from '../../src/docker/containers.js'
import { MemoryClaims } from '../../src/ports/claims/memory-claims.js'
import type { Holder } from '../../src/ports/holder.js'
import type { HostPort } from '../../src/ports/host-port.js'
import { Refusal } from '../../src/ports/refusal.js'
import { exampleContainer } from '../lib/example-container.js'
import { freeRow } from '../lib/free-row.js'

const HOLDER: Holder = { kind: 'publication', name: 'own', address: '', backend: '', since: '' }

/** The ingress port of a swarm service. */
const SERVICE_PORT = freeRow(1)

/** Containers of an engine that publishes one port of `web_svr01`. */
function publishing(port: number, isRunning = true): Containers {
  const published = [{ protocol: 'tcp', ip: '0.0.0.0', port, containerPort: 80 }] as const
  const compose = { project: 'shop', service: 'web', number: 1, isOneOff: false }
  const container = exampleContainer({ published, isRunning, compose })
  const runningOn = (ip: string) => (ip === '172.17.0.2' ? container : undefined)
  const service = { service: 'shop_web', protocol: 'tcp', port: SERVICE_PORT, containerPort: 80 }
  const ingressPorts = () => Promise.resolve([service])
  const recentIngressPorts = ingressPorts
  return { all: [container], runningOn, ingressPorts, recentIngressPorts } as unknown as Containers
}

const tcp = (port: number, ip = '127.0.0.1'): HostPort => ({ protocol: 'tcp', ip, port })

t.test('a port that exists as a rule of the firewall alone is taken', async (t) => {
  const port = freeRow(1)
  const claims = new EngineClaims(new MemoryClaims(), publishing(port))
  const holder = { kind: 'container', name: 'web_svr01', address: `0.0.0.0:${port}` }
  t.match(await claims.claim(tcp(port), HOLDER), { heldBy: holder })
  t.match(await claims.holderOf(tcp(port)), holder)
  t.equal(await claims.holderOf({ ...tcp(port), protocol: 'udp' }), undefined)
  t.equal(await claims.holderOf(tcp(port, '::1')), undefined)
})

t.test('an ingress port of a swarm is taken on all addresses', async (t) => {
  const claims = new EngineClaims(new MemoryClaims(), publishing(freeRow(1)))
  const address = `0.0.0.0:${SERVICE_PORT}`
  const holder = { kind: 'service', name: 'shop_web', address, containerPort: 80 }
  t.match(await claims.claim(tcp(SERVICE_PORT), HOLDER), { heldBy: holder })
  t.equal(await claims.holderOf(tcp(SERVICE_PORT, '::')), undefined, 'IPv4 alone')
  t.equal(await claims.holderOf({ ...tcp(SERVICE_PORT), protocol: 'udp' }), undefined)
})

t.test('a port that a process holds is left to the kernel, which names it', async (t) => {
  const port = freeRow(1)
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const claims = new EngineClaims(new MemoryClaims(), publishing(port))
  t.equal(await claims.holderOf(tcp(port)), undefined)
})

t.test('our own claims come first, and stopped containers hold nothing', async (t) => {
  const port = freeRow(1)
  const claims = new EngineClaims(new MemoryClaims(), publishing(port, false))
  t.match(await claims.claim(tcp(port), HOLDER), { claim: { port } })
  t.same(await claims.holderOf(tcp(port)), HOLDER)
})

t.test('a conflict with a port of dockerd names the container', async (t) => {
  const process = { kind: 'process', pid: 1, command: 'x', user: 'root' } as const
  const conflict = (holder: Partial<Holder>): Refusal =>
    new Refusal('port-in-use', 'taken', {
      holder: { ...process, address: '', ...holder } as Holder,
    })
  const named = (holder: Partial<Holder>): Promise<unknown> =>
    nameContainer(conflict(holder), publishing(8080))
  const web = { details: { holder: { publishes: 'web_svr01', project: 'shop' } } }
  t.match(await named({ backend: '172.17.0.2:80' }), web)
  t.match(await named({ address: '0.0.0.0:8080' }), web)
  const foreign = conflict({ address: '0.0.0.0:8081' })
  t.equal(await nameContainer(foreign, publishing(8080)), foreign)
  t.equal(await nameContainer(foreign, undefined), foreign)
  const ofSwarm = { address: `0.0.0.0:${SERVICE_PORT}`, command: '/usr/bin/dockerd -H fd://' }
  t.match(await named(ofSwarm), { details: { holder: { service: 'shop_web' } } })
  const other = conflict({ ...ofSwarm, command: '/usr/bin/python3' })
  t.equal(await nameContainer(other, publishing(8080)), other)
})
