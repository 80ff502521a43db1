import { networkInterfaces } from 'node:os'
import t from 'tap'
import { interfaceFinder, ownAddresses } from '../../../src/linux/sockets/own-addresses.js'

t.test('the interface whose network contains an address', async (t) => {
  const find = interfaceFinder()
  t.equal(find('127.1.2.3'), 'lo')
  t.equal(find('203.0.113.7'), undefined)
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, family } of addresses ?? []) {
      t.ok(ownAddresses().has(address))
      if (family === 'IPv4') t.equal(find(address), name, address)
    }
  }
})
