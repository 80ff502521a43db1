import t from 'tap'
import { ClientNetworks, parseNetworks } from '../../src/proxy/client-networks.js'

t.test('addresses and networks are parsed', async (t) => {
  t.same(parseNetworks('10.0.0.0/8, 192.0.2.7,2001:db8::/32,::1'), [
    { ip: '10.0.0.0', prefix: 8 },
    { ip: '192.0.2.7', prefix: 32 },
    { ip: '2001:db8::', prefix: 32 },
    { ip: '::1', prefix: 128 },
  ])
  const wrong = ['', ',', '10.0.0.0/33', '10.0.0/8', '::1/129', '10.0.0.0/', '1.2.3.4/8/8', 'host']
  for (const text of [...wrong, '10.0.0.0/-1', '::ffff:10.0.0.0/104', '10.0.0.0/8,']) {
    t.equal(parseNetworks(text), undefined, text)
  }
})

t.test('a client is allowed by its address', async (t) => {
  const [allow = [], deny = []] = ['10.0.0.0/8,fd00::/8', '10.1.0.0/16'].map(parseNetworks)
  const both = ClientNetworks.of(allow, deny)
  for (const ip of ['10.0.0.1', '::ffff:10.0.0.1', 'fd00::1']) t.equal(both?.allows(ip), true, ip)
  for (const ip of ['10.1.0.1', '11.0.0.1', 'fe80::1', '?']) t.equal(both?.allows(ip), false, ip)
  const denied = ClientNetworks.of([], deny)
  t.equal(ClientNetworks.of([], []), undefined)
  t.equal(denied?.allows('11.0.0.1'), true)
  t.equal(denied?.allows('::ffff:10.1.0.1'), false)
})
