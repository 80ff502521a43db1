import t from 'tap'
import { Admission } from '../../src/proxy/admission.js'
import { ConnectionRate } from '../../src/proxy/connection-rate.js'
import { NetworkMembers } from '../../src/proxy/network-members.js'
import { DEFAULT_PORT_OPTIONS } from '../../src/proxy/port-options.js'

t.test('as many connections as belong to a second may come at once', async (t) => {
  let now = 0
  const rate = new ConnectionRate(10, () => now)
  for (let i = 0; i < 10; i++) {
    t.equal(rate.waitMs, 0)
    rate.count()
  }
  t.equal(rate.waitMs, 100)
  now += 60
  t.equal(Math.round(rate.waitMs), 40)
  now += 40
  t.equal(Math.round(rate.waitMs), 0)
  rate.count()
  now += 60_000
  for (let i = 0; i < 10; i++) rate.count()
  t.equal(rate.waitMs, 100, 'quiet minutes are not saved up')
})

t.test('without a limit nobody waits, and a change of others gives no client more', async (t) => {
  const admission = new Admission<object>(DEFAULT_PORT_OPTIONS)
  for (let i = 0; i < 1_000; i++) admission.count()
  t.equal(admission.waitMs, 0)
  const limited = { ...DEFAULT_PORT_OPTIONS, maxConnectionRate: 1 }
  admission.follow(limited)
  admission.count()
  t.ok(admission.waitMs > 0)
  admission.follow({ ...limited, maxConnections: 5 })
  t.ok(admission.waitMs > 0)
})

t.test('members count for their network', async (t) => {
  const members = new NetworkMembers<string>({ connections: 2, ipv4Bits: 20, ipv6Bits: 56 })
  members.add('10.0.0.1', 'a')
  t.equal(members.fullNetwork('10.0.15.255'), undefined)
  members.add('10.0.15.255', 'b')
  t.same([...(members.fullNetwork('10.0.8.8') ?? [])], ['a', 'b'])
  t.equal(members.fullNetwork('10.0.16.0'), undefined)
  t.same([...(members.fullNetwork('::ffff:10.0.0.9') ?? [])], ['a', 'b'], 'a mapped address')
  members.add('2001:db8:0:100::1', 'c')
  members.add('2001:db8:0:1ff::1', 'd')
  t.ok(members.fullNetwork('2001:db8:0:1aa::1'))
  t.equal(members.fullNetwork('2001:db8:0:200::1'), undefined)
  members.delete('a')
  members.delete('a')
  members.delete('unknown')
  t.equal(members.fullNetwork('10.0.8.8'), undefined)
  t.equal(members.crowdedNetwork(), undefined)
  const finer = new NetworkMembers({ connections: 1, ipv4Bits: 32, ipv6Bits: 128 }, members)
  t.same([...(finer.fullNetwork('10.0.15.255') ?? [])], ['b'], 'members of before count')
  t.equal(finer.fullNetwork('10.0.15.254'), undefined)
  const coarser = new NetworkMembers({ connections: 1, ipv4Bits: 32, ipv6Bits: 32 }, members)
  t.same([...(coarser.crowdedNetwork() ?? [])], ['c', 'd'])
})

t.test('the address of a client is needed only for options about it', async (t) => {
  const admission = new Admission<object>(DEFAULT_PORT_OPTIONS)
  t.match(admission, { needsAddress: false, countsMembers: false, waitMs: 0 })
  t.equal(admission.allows('?'), true)
  admission.follow({ ...DEFAULT_PORT_OPTIONS, deny: [{ ip: '10.0.0.0', prefix: 8 }] })
  t.match(admission, { needsAddress: true, countsMembers: false })
  t.equal(admission.allows('10.0.0.1'), false)
  const maxConnectionsPerNetwork = { connections: 1, ipv4Bits: 32, ipv6Bits: 64 }
  admission.follow({ ...DEFAULT_PORT_OPTIONS, maxConnectionsPerNetwork })
  const member = {}
  admission.add('10.0.0.1', member)
  t.ok(admission.fullNetwork('10.0.0.1'))
  admission.left(member)
  t.equal(admission.fullNetwork('10.0.0.1'), undefined)
})
