import t from 'tap'
import { joinHostPort } from '../../src/ports/host-port.js'
import { networkName } from '../../src/proxy/published-port.js'

t.test('addresses and networks in the words of Go', async (t) => {
  t.equal(joinHostPort('127.0.0.1', 80), '127.0.0.1:80')
  t.equal(joinHostPort('::1', 80), '[::1]:80')
  t.equal(joinHostPort('', -1), ':-1')
  t.equal(networkName('tcp', '127.0.0.1'), 'tcp4')
  t.equal(networkName('tcp', '::'), 'tcp6')
  t.equal(networkName('udp', ''), 'udp6')
})
