import t from 'tap'
import { identify } from '../../src/linux/proc/process-identity.js'
import type { BackendList } from '../../src/status/backend-list.js'
import { ContainerWatch } from '../../src/status/container-watch.js'
import { MemoryLog } from '../lib/memory-log.js'
import { connectNamespaces, startNamespace } from '../lib/namespace.js'
import { notRoot } from '../lib/program.js'
import { until } from '../lib/until.js'

const skip = notRoot('to make network namespaces')
const [FIRST, SECOND] = ['10.96.0.2', '10.96.0.3'] as const

t.test('an address that a container has lost is not used', { skip }, async (t) => {
  const host = await startNamespace(t)
  const container = await startNamespace(t)
  await connectNamespaces(host, container, 'v')
  await container.sh(`ip addr add ${FIRST}/24 dev v1`)
  const process = identify(container.pid)
  const listOf = (...ips: string[]): BackendList => ({
    backends: ips.map((ip) => ({ ip, ...(process && { process }) })),
    holdMs: 0,
  })
  const changes: string[] = []
  const lost: string[] = []
  const ipsOf = ({ backends }: BackendList): string => backends.map(({ ip }) => ip).join()
  const start = () =>
    new ContainerWatch(
      (list) => changes.push(ipsOf(list)),
      (ip) => lost.push(ip),
      new MemoryLog(),
    )
  const watch = start()
  t.teardown(() => watch.watch({ backends: [], holdMs: 0 }))
  t.equal(ipsOf(watch.watch(listOf(FIRST))), FIRST)
  t.equal(ipsOf(watch.watch(listOf(FIRST, SECOND))), FIRST, 'the other one is not there')
  t.same(lost.splice(0), [SECOND])

  await container.sh(`ip addr del ${FIRST}/24 dev v1`)
  await until(() => changes.length === 1)
  t.same([changes, lost.splice(0)], [[''], [FIRST]])
  t.equal(ipsOf(watch.watch(listOf(FIRST))), '', 'an old list does not bring it back')
  t.same(lost.splice(0), [FIRST])
  await container.sh(`ip addr add ${FIRST}/24 dev v1`)
  await until(() => changes.length === 2)
  t.equal(changes[1], FIRST)

  // The same address twice.
  await container.sh(`ip addr add ${FIRST}/32 dev lo; ip addr del ${FIRST}/24 dev v1`)
  await container.sh(`ip addr add ${SECOND}/24 dev v1`)
  t.equal(ipsOf(watch.watch(listOf(FIRST, SECOND))), `${FIRST},${SECOND}`)
  t.same(lost, [])

  // As with a runtime that serves the addresses of its interfaces itself.
  await container.sh(`ip addr flush dev v1; ip addr del ${FIRST}/32 dev lo`)
  const other = start()
  t.equal(ipsOf(other.watch(listOf(FIRST))), FIRST)
  await host.sh('ip link del v0')
  const third = start()
  t.equal(ipsOf(third.watch(listOf(FIRST))), '', 'there is no interface')
  for (const each of [other, third]) each.watch({ backends: [], holdMs: 0 })
})
