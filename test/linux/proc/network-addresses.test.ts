import t from 'tap'
import { lacksAddress } from '../../../src/linux/proc/network-addresses.js'
import { connectNamespaces, startNamespace } from '../../lib/namespace.js'
import { notRoot } from '../../lib/program.js'

const skip = notRoot('to make network namespaces')
const [FOUR, SIX, OTHER] = ['10.95.0.2', 'fd95::2', '10.95.0.3'] as const

t.test('tells which addresses a process certainly does not have', { skip }, async (t) => {
  const host = await startNamespace(t)
  const container = await startNamespace(t)
  const { pid } = container
  t.ok(lacksAddress(pid, FOUR), 'there is no interface')
  await connectNamespaces(host, container, 'a')
  t.notOk(lacksAddress(pid, FOUR), 'an interface without addresses')
  await container.sh(`ip addr add ${FOUR}/24 dev a1; ip addr add ${SIX}/64 dev a1`)
  t.notOk(lacksAddress(pid, FOUR))
  t.notOk(lacksAddress(pid, SIX))
  t.ok(lacksAddress(pid, OTHER))
  t.notOk(lacksAddress(pid, '127.0.0.2'))
  t.throws(() => lacksAddress(2 ** 22 + 1, FOUR), { code: 'ENOENT' })
})
