import t from 'tap'
import { proxyHeader } from '../../src/proxy/proxy-header.js'

const IPV4 = {
  client: { ip: '192.0.2.7', port: 4711 },
  server: { ip: '198.51.100.1', port: 80 },
}
const IPV6 = {
  client: { ip: '2001:db8::7', port: 4711 },
  server: { ip: '2001:db8::1', port: 80 },
}
const SIGNATURE = '0d0a0d0a000d0a515549540a'

t.test('version 1 is a line of text', async (t) => {
  const text = (connection?: typeof IPV4): string => proxyHeader('v1', connection).toString()
  t.equal(text(IPV4), 'PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n')
  t.equal(text(IPV6), 'PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n')
  t.equal(text(), 'PROXY UNKNOWN\r\n')
})

t.test('version 2 is binary', async (t) => {
  const hex = (connection?: typeof IPV4): string => proxyHeader('v2', connection).toString('hex')
  t.equal(hex(IPV4), `${SIGNATURE}2111000cc0000207c633640112670050`)
  const ipv6 = '20010db800000000000000000000000720010db800000000000000000000000112670050'
  t.equal(hex(IPV6), `${SIGNATURE}21210024${ipv6}`)
  t.equal(hex(), `${SIGNATURE}20000000`)
})

t.test('addresses of a socket for both families are IPv4', async (t) => {
  const mapped = {
    client: { ip: '::ffff:192.0.2.7', port: 4711 },
    server: { ip: '::ffff:198.51.100.1', port: 80 },
  }
  t.same(proxyHeader('v2', mapped), proxyHeader('v2', IPV4))
  const mixed = { client: IPV4.client, server: IPV6.server }
  t.same(proxyHeader('v1', mixed), proxyHeader('v1', undefined))
})
