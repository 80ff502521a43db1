import t from 'tap'
import { countOpenDescriptors } from '../../../src/linux/proc/descriptors.js'
import { inNetworkOf } from '../../../src/linux/proc/network-of.js'
import { OutsideWatch } from '../../../src/linux/proc/outside-watch.js'
import { connectNamespaces, startNamespace } from '../../lib/namespace.js'
import { notRoot } from '../../lib/program.js'
import { until } from '../../lib/until.js'

const skip = notRoot('to make network namespaces')
const [FOUR, SIX] = ['10.94.0.2', 'fd94::2'] as const

t.test(
  'sees from the host that interfaces of other namespaces are removed',
  { skip },
  async (t) => {
    const host = await startNamespace(t)
    const [first, second] = [await startNamespace(t), await startNamespace(t)]
    for (const [name, container] of [
      ['f', first],
      ['s', second],
    ] as const) {
      await connectNamespaces(host, container, name)
      await container.sh(`ip addr add ${FOUR}/24 dev ${name}1; ip addr add ${SIX}/64 dev ${name}1`)
    }
    const descriptors = countOpenDescriptors()
    const watch = new OutsideWatch()
    const changes = [0, 0]
    // Its socket is one of the host.
    const [one, two] = inNetworkOf(host.pid, () =>
      [first, second].map(({ pid }, i) => watch.watch(pid, () => (changes[i] = 1))),
    )
    t.teardown(() => {
      one?.stop()
      two?.stop()
    })
    t.ok([FOUR, SIX, '127.0.0.1'].every((ip) => one?.has(ip)))
    t.notOk(one?.has('10.94.0.3'))
    await host.sh('ip link del f0')
    await until(() => !one?.has(FOUR) && !one?.has(SIX))
    t.strictSame(changes, [1, 0], 'only one of them has changed')
    t.ok([FOUR, SIX].every((ip) => two?.has(ip)))

    // The removal begins at the container's end.
    await second.sh('ip link del s1')
    await until(() => !two?.has(FOUR) && !two?.has(SIX))
    for (const each of [one, two, one]) each?.stop()
    t.ok(countOpenDescriptors() <= descriptors + 1, 'only the epoll set stays open')
    t.throws(() => watch.watch(2 ** 22 + 1, () => undefined), { code: 'ENOENT' })
    t.ok(countOpenDescriptors() <= descriptors + 1)
  },
)
