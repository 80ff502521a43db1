import t from 'tap'
import {
  formatIp,
  ipBytes,
  isLoopback,
  isWildcard,
  parseIp,
} from '../../../src/linux/sockets/ip-address.js'

t.test('an IP address is parsed into its shortest form', async (t) => {
  const cases: [string, string][] = [
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['::', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['2001:DB8::00ff', '2001:db8::ff'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
  ]
  for (const [text, ip] of cases) {
    t.equal(parseIp(text), ip, text)
    t.equal(formatIp(ipBytes(ip)), ip, 'its bytes format to the same text')
  }
})

t.test('a text that is not an IP address is not parsed', async (t) => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.0.0.1',
    '01.2.3.4',
    '0x7f.1',
    ':',
    ':::',
    '1::2::3',
    'g::',
    'fe80::1%lo',
    '[::1]',
    '1.2.3.4:80',
    'web',
  ]) {
    t.equal(parseIp(text), undefined, text)
  }
})

t.test('bytes are in network order', async (t) => {
  t.equal(ipBytes('192.0.2.1').toString('hex'), 'c0000201')
  t.equal(ipBytes('2001:db8::1').toString('hex'), '20010db8000000000000000000000001')
})

t.test('wildcard and loopback addresses', async (t) => {
  for (const ip of ['127.0.0.1', '127.9.9.9', '::1']) t.ok(isLoopback(ip))
  for (const ip of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1']) t.notOk(isLoopback(ip))
  for (const ip of ['0.0.0.0', '::']) t.ok(isWildcard(ip))
  for (const ip of ['127.0.0.1', '::1']) t.notOk(isWildcard(ip))
})
