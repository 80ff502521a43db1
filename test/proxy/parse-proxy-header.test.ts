import { randomBytes } from 'node:crypto'
import t from 'tap'
import { LONGEST_HEADER, parseProxyHeader } from '../../src/proxy/parse-proxy-header.js'
import { proxyHeader } from '../../src/proxy/proxy-header.js'
import { seeded } from '../lib/seeded.js'

const IPV4 = {
  client: { ip: '192.0.2.7', port: 4711 },
  server: { ip: '198.51.100.1', port: 80 },
}
const IPV6 = {
  client: { ip: '2001:db8::7', port: 65_535 },
  server: { ip: '2001:db8::1', port: 1 },
}
const text = (line: string) => parseProxyHeader(Buffer.from(line, 'latin1'))

t.test('what is sent is understood, and the data behind it is left', async (t) => {
  for (const version of ['v1', 'v2'] as const) {
    for (const connection of [IPV4, IPV6, undefined]) {
      const header = proxyHeader(version, connection)
      const { length } = header
      t.same(parseProxyHeader(Buffer.concat([header, Buffer.from('GET /')])), {
        length,
        connection,
      })
      for (let end = 0; end < length; end++) {
        t.equal(parseProxyHeader(header.subarray(0, end)), 'incomplete', `${version} ${end}`)
      }
    }
  }
})

t.test('version 1: only what the specification allows', async (t) => {
  t.match(text('PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n'), { length: 59 })
  for (const line of [
    'PROXY TCP4 192.0.2.7 198.51.100.1 4711 65536\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 4711 80 x\r\n',
    'PROXY TCP4 192.0.2.7  198.51.100.1 4711 80\r\n',
    'PROXY TCP4 2001:db8::7 2001:db8::1 1 1\r\n',
    'PROXY TCP6 192.0.2.7 198.51.100.1 4711 80\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 -1 80\r\n',
    'PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 4711 80\r\n',
    'PROXY TCP4 192.0.2.7 198.51.100.1 0x1 80\r\n',
    'PROXY UDP4 192.0.2.7 198.51.100.1 4711 80\r\n',
    'PROXY\r\n',
    'proxy TCP4 192.0.2.7 198.51.100.1 4711 80\r\n',
    `PROXY UNKNOWN${' '.repeat(100)}\r\n`,
    'GET / HTTP/1.1\r\n',
  ]) {
    t.equal(text(line), 'invalid', JSON.stringify(line))
  }
})

t.test('version 2: extensions are skipped, and unknown families say nothing', async (t) => {
  const header = proxyHeader('v2', IPV4)
  const extended = Buffer.concat([header, Buffer.from('030004a9b87eef', 'hex')])
  extended.writeUInt16BE(12 + 7, 14)
  t.same(parseProxyHeader(extended), { length: 35, connection: IPV4 })
  const change = (at: number, value: number): Buffer => {
    const changed = Buffer.from(header)
    changed[at] = value
    return changed
  }
  for (const kind of [0x00, 0x12, 0x31]) {
    t.same(parseProxyHeader(change(13, kind)), { length: 28, connection: undefined })
  }
  t.same(parseProxyHeader(change(12, 0x20)), { length: 28, connection: undefined }, 'LOCAL')
  t.equal(parseProxyHeader(change(12, 0x11)), 'invalid', 'version 1 in binary')
  t.equal(parseProxyHeader(change(12, 0x22)), 'invalid', 'an unknown command')
  t.equal(parseProxyHeader(change(15, 11)), 'invalid', 'too short for its addresses')
  t.equal(parseProxyHeader(change(14, 0xff)), 'invalid', 'too long')
})

t.test('any bytes have a verdict, and a header is never longer than what came', async (t) => {
  const random = seeded(20_260_426)
  const starts = [proxyHeader('v2', IPV4), proxyHeader('v1', IPV6), Buffer.alloc(0)]
  let complete = 0
  for (let round = 0; round < 50_000; round++) {
    const start = Buffer.from(starts[round % starts.length] ?? [])
    if (start.length > 0) start[Math.floor(random() * start.length)] = Math.floor(random() * 256)
    const bytes = Buffer.concat([start, randomBytes(Math.floor(random() * 40))])
    const verdict = parseProxyHeader(bytes)
    if (verdict === 'incomplete' || verdict === 'invalid') continue
    complete++
    if (verdict.length > bytes.length || verdict.length > LONGEST_HEADER) {
      t.fail(bytes.toString('hex'))
    }
  }
  t.ok(complete > 1_000, `${complete} of 50000 were complete`)
})
