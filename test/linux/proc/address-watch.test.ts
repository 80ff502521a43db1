import { execFileSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import t from 'tap'
import { AddressWatch } from '../../../src/linux/proc/address-watch.js'
import { countOpenDescriptors } from '../../../src/linux/proc/descriptors.js'
import { connectNamespaces, startNamespace } from '../../lib/namespace.js'
import { notRoot } from '../../lib/program.js'
import { until } from '../../lib/until.js'

const skip = notRoot('to make network namespaces')
const [FOUR, SIX, MANY] = ['10.98.0.2', 'fd98::2', 1000] as const

t.test('reports the addresses of another network namespace', { skip }, async (t) => {
  const host = await startNamespace(t)
  const container = await startNamespace(t)
  await connectNamespaces(host, container, 'w')
  await container.sh(`ip addr add ${FOUR}/24 dev w1; ip addr add ${SIX}/64 dev w1`)
  const own = readlinkSync('/proc/thread-self/ns/net')
  const descriptors = countOpenDescriptors()
  let changes = 0
  const watch = new AddressWatch()
  const addresses = watch.watch(container.pid, () => changes++)
  t.teardown(() => addresses.stop())
  t.equal(readlinkSync('/proc/thread-self/ns/net'), own, 'this process stays in its own')
  t.ok(addresses.has(FOUR))
  t.ok(addresses.has(SIX))
  t.ok(addresses.has('127.0.0.1'))
  t.notOk(addresses.has('10.98.0.3'))

  await container.sh(`ip addr del ${FOUR}/24 dev w1`)
  await until(() => !addresses.has(FOUR))
  t.ok(addresses.has(SIX))
  await container.sh(`ip addr add ${FOUR}/24 dev w1`)
  await until(() => addresses.has(FOUR))
  t.ok(changes >= 2)

  // More changes than the socket has room for. Nothing reads them meanwhile.
  const each = (verb: string): string =>
    `for i in $(seq ${MANY}); do echo addr ${verb} 10.97.$((i / 250)).$((i % 250 + 1))/32 dev w1; done`
  const script = `(${each('add')}; ${each('del')}; echo addr add 10.97.9.9/32 dev w1) | ip -batch -`
  execFileSync('nsenter', ['--net', `--target=${container.pid}`, '--', 'sh', '-ec', script])
  await until(() => addresses.has('10.97.9.9'))
  t.notOk(addresses.has('10.97.1.1'))

  await host.sh('ip link del w0')
  await until(() => !addresses.has(FOUR) && !addresses.has(SIX))
  addresses.stop()
  addresses.stop()
  t.ok(countOpenDescriptors() <= descriptors + 1, 'only the epoll set stays open')
})

t.test('a process that does not exist', { skip }, (t) => {
  t.throws(() => new AddressWatch().watch(2 ** 22 + 1, () => undefined), { code: 'ENOENT' })
  t.end()
})
