import t from 'tap'
import { targetOf } from '../../src/docker/container-target.js'
import type { Container } from '../../src/docker/container.js'
import { resolveTarget } from '../../src/docker/target-backends.js'
import { exampleContainer } from '../lib/example-container.js'

const NETWORKS = new Map([
  ['bridge-id', { driver: 'bridge', isInternal: false }],
  ['inside-id', { driver: 'bridge', isInternal: true }],
  ['over-id', { driver: 'overlay', isInternal: false }],
])
const network = (name: string, ip?: string, ip6?: string) => ({ id: `${name}-id`, name, ip, ip6 })

function resolve(
  container: Container,
  wanted?: string,
  others: readonly Container[] = [],
  present: readonly string[] = [],
) {
  const all = [container, ...others]
  const containers = {
    ...{ all, networks: NETWORKS },
    byId: (id: string) => all.find((each) => each.id === id),
  }
  const choice = wanted === undefined ? {} : { network: wanted }
  return resolveTarget({ target: targetOf(container), keep: false, ...choice }, containers, present)
}

t.test('the first network that this host reaches, IPv4 before IPv6', async (t) => {
  const networks = [
    network('over', '10.0.0.2'),
    network('inside', '10.1.0.2'),
    network('bridge', '172.17.0.2', 'fd00::2'),
  ]
  const container = exampleContainer({ networks })
  t.match(resolve(container), {
    state: 'running',
    backends: [{ ip: '172.17.0.2', network: 'bridge' }],
  })
  t.match(resolve(container, 'inside'), { backends: [{ ip: '10.1.0.2' }] })
  t.match(resolve(exampleContainer({ networks: [network('bridge', undefined, 'fd00::2')] })), {
    backends: [{ ip: 'fd00::2' }],
  })
})

t.test('an address that still works stays, whatever network is connected', async (t) => {
  const networks = [network('bridge', '172.17.0.2'), network('bridge', '172.18.0.2')]
  const container = exampleContainer({ networks })
  const chosen = (...present: string[]) =>
    resolve(container, undefined, [], present).backends.map(({ ip }) => ip)
  t.strictSame(chosen(), ['172.17.0.2'])
  t.strictSame(chosen('172.18.0.2'), ['172.18.0.2'])
  t.strictSame(chosen('172.19.0.2'), ['172.17.0.2'], 'that address has left')
})

t.test('why there is no address', async (t) => {
  const whys: [Partial<Container>, string | undefined, RegExp][] = [
    [{ networkMode: 'host' }, undefined, /^web_svr01 uses the host's network: its ports are the h/],
    [{ networkMode: 'none' }, undefined, /^web_svr01 has no network: connect it to one with "/],
    [{ networks: [] }, undefined, /^web_svr01 is in no network: connect it with "docker network c/],
    [{}, 'nope', /^web_svr01 is not in the network "nope": it is in bridge$/],
    [
      { networks: [network('over', '10.0.0.2')] },
      undefined,
      /network over is of the kind overlay;/,
    ],
    [
      { networks: [network('inside', '10.1.0.2')] },
      undefined,
      /is internal: --network inside publishes its ports anyway$/,
    ],
    [{ networks: [network('bridge')] }, undefined, /has no address in the network bridge yet$/],
  ]
  for (const [parts, wanted, why] of whys) {
    t.match(resolve(exampleContainer(parts), wanted), { state: 'unreachable', why, backends: [] })
  }
  t.match(resolve(exampleContainer({ isRunning: false })), { state: 'stopped', backends: [] })
})

t.test('a container that shares the network of another one has its address', async (t) => {
  const owner = exampleContainer({ id: 'b'.repeat(64), name: 'owner' })
  const guest = exampleContainer({ networkMode: `container:${owner.id}`, networks: [] })
  t.match(resolve(guest, undefined, [owner]), {
    backends: [{ ip: '172.17.0.2', container: { name: 'web_svr01' } }],
  })
})
