import t from 'tap'
import { MemoryClaims } from '../../../src/ports/claims/memory-claims.js'
import type { Holder } from '../../../src/ports/holder.js'
import type { HostPort } from '../../../src/ports/host-port.js'

const holder = (name: string): Holder => ({
  ...{ kind: 'publication', name, address: '', backend: '', since: '' },
})
const tcp = (ip: string, port: number): HostPort => ({ protocol: 'tcp', ip, port })

t.test('an overlapping port is refused with its holder, until it is released', async (t) => {
  const claims = new MemoryClaims()
  const { claim } = await claims.claim(tcp('0.0.0.0', 80), holder('a'))
  t.match(claim, { protocol: 'tcp', ip: '0.0.0.0', port: 80, holder: { name: 'a' } })
  t.match(await claims.claim(tcp('127.0.0.1', 80), holder('b')), { heldBy: { name: 'a' } })
  t.match(await claims.holderOf(tcp('127.0.0.1', 80)), { name: 'a' })
  for (const other of [
    tcp('::', 80),
    tcp('0.0.0.0', 81),
    { ...tcp('0.0.0.0', 80), protocol: 'udp' as const },
  ]) {
    t.ok((await claims.claim(other, holder('c'))).claim)
  }
  await claim?.release()
  await claim?.release()
  t.equal(await claims.holderOf(tcp('127.0.0.1', 80)), undefined)
  t.ok((await claims.claim(tcp('127.0.0.1', 80), holder('b'))).claim)
})

t.test('of two claims at the same moment one succeeds', async (t) => {
  const claims = new MemoryClaims()
  const results = await Promise.all(
    ['a', 'b', 'c'].map((name) => claims.claim(tcp('0.0.0.0', 80), holder(name))),
  )
  t.equal(results.filter(({ claim }) => claim).length, 1)
  for (const { heldBy } of results.slice(1)) t.match(heldBy, { name: 'a' })
})

t.test('a released claim does not release a later one of the same port', async (t) => {
  const claims = new MemoryClaims()
  const first = (await claims.claim(tcp('0.0.0.0', 80), holder('a'))).claim
  await first?.release()
  await claims.claim(tcp('0.0.0.0', 80), holder('b'))
  await first?.release()
  t.match(await claims.holderOf(tcp('0.0.0.0', 80)), { name: 'b' })
})
