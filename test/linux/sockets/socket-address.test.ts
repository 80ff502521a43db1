import { endianness } from 'node:os'
import t from 'tap'
import { encodeSocketAddress } from '../../../src/linux/sockets/socket-address.js'

const family = (number: number): string =>
  endianness() === 'LE' ? `0${number.toString(16)}00` : `000${number.toString(16)}`

t.test('struct sockaddr_in and sockaddr_in6', async (t) => {
  t.equal(
    encodeSocketAddress({ ip: '127.0.0.1', port: 8080 }).toString('hex'),
    `${family(2)}1f907f000001${'0'.repeat(16)}`,
  )
  const ipv6 = (ip: string): string => encodeSocketAddress({ ip, port: 80 }).toString('hex')
  const head = `${family(10)}005000000000`
  t.equal(ipv6('::'), `${head}${'0'.repeat(32)}00000000`)
  t.equal(ipv6('::1'), `${head}${'0'.repeat(31)}100000000`)
  t.equal(ipv6('2001:db8::ff00:42:8329'), `${head}20010db8000000000000ff000042832900000000`)
  t.equal(ipv6('1:2:3:4:5:6:7:8'), `${head}0001000200030004000500060007000800000000`)
  t.equal(ipv6('::ffff:1.2.3.4'), `${head}00000000000000000000ffff0102030400000000`)
})
