import t from 'tap'
import {
  DEFAULT_PORT_OPTIONS,
  optionEnvironment,
  optionVariable,
  parsePortOptions,
  PORT_OPTIONS,
  type PortOptionTexts,
} from '../../src/proxy/port-options.js'

const parse = (texts: PortOptionTexts) => parsePortOptions(texts, (name) => `--${name}`)

t.test('options are parsed, and others have their defaults', async (t) => {
  t.same(parse({}), DEFAULT_PORT_OPTIONS)
  t.match(parse({ 'max-connections': '500', 'when-full': 'refuse', 'send-proxy': 'v2' }), {
    ...{ maxConnections: 500, whenFull: 'refuse', sendProxy: 'v2' },
    ...{ dialTimeoutMs: 30_000, accessLog: { share: 0 } },
  })
  t.match(parse({ 'dial-timeout': '500ms', 'idle-timeout': '1h', 'access-log': 'on' }), {
    ...{ dialTimeoutMs: 500, idleTimeoutMs: 3_600_000 },
    accessLog: { share: 1, hasStarts: false },
  })
  const accessLog = (text: string) => parse({ 'access-log': text }).accessLog
  t.same(accessLog('start'), { share: 1, hasStarts: true })
  t.same(accessLog('5%'), { share: 0.05, hasStarts: false })
  t.same(accessLog('start,0.1%'), { share: 0.001, hasStarts: true })
  t.match(parse({ 'max-bandwidth-in': '1.5MiB', 'max-bandwidth-out': '100Mbit' }), {
    ...{ maxBandwidthIn: 1_572_864, maxBandwidthOut: 12_500_000 },
  })
  const perNetwork = (text: string) =>
    parse({ 'max-connections-per-network': text }).maxConnectionsPerNetwork
  t.same(perNetwork('20'), { connections: 20, ipv4Bits: 32, ipv6Bits: 64 })
  t.same(perNetwork('20/24'), { connections: 20, ipv4Bits: 24, ipv6Bits: 64 })
  t.same(perNetwork('20/24/48'), { connections: 20, ipv4Bits: 24, ipv6Bits: 48 })
  t.match(parse({ 'half-closed-timeout': '1m', 'tcp-user-timeout': '30s' }), {
    ...{ halfClosedTimeoutMs: 60_000, tcpUserTimeoutMs: 30_000 },
  })
  t.match(parse({ 'max-connection-rate': '50' }), { maxConnectionRate: 50 })
  t.match(parse({ allow: '10.0.0.0/8' }), { allow: [{ ip: '10.0.0.0', prefix: 8 }], deny: [] })
})

t.test('each can be switched off, whatever the default is', async (t) => {
  const texts = { allow: '10.0.0.0/8', 'max-connections': '5', 'send-proxy': 'v1' }
  const own = parse(texts)
  const off = { allow: 'off', 'max-connections': 'off', 'send-proxy': 'off' }
  t.same(parsePortOptions(off, String, own), DEFAULT_PORT_OPTIONS)
  t.match(parsePortOptions({ 'dial-timeout': 'off' }, String, own), {
    ...{ dialTimeoutMs: Infinity, maxConnections: 5 },
  })
})

t.test('a wrong value is quoted, with what is expected', async (t) => {
  const wrong: Record<string, string[]> = {
    'max-connections': ['0', '-1', '1000001', '1.5', 'many', ''],
    'dial-timeout': ['0s', '5', '5 s', '1d', '999999999h', '-1s'],
    'idle-timeout': ['0ms', 'never'],
    'send-proxy': ['v3', '1', 'toString'],
    'when-full': ['drop'],
    'access-log': ['true', '%', '0%', '101%', '5', 'x%', 'start,', '1%,start', 'on,off', ''],
    'accept-proxy': ['all', '10.0.0.0/33'],
    'accept-proxy-timeout': ['0s', '10'],
    'half-closed-timeout': ['0s', '10'],
    'tcp-user-timeout': ['0s', '10'],
    'max-connection-rate': ['0', '10/s', ''],
    'max-connections-per-network': [
      '0',
      '20/33',
      '20/0',
      '20/24/129',
      '20/24/48/1',
      '/24',
      'off/24',
    ],
    'max-bandwidth-in': ['10', '10mb', '999B', '3GB', '0.9kB', '1e3kB', '-1MB', '10MB/s'],
    'max-bandwidth-out': ['', 'MB', '1 MB', 'toString', '1toString'],
    allow: ['10.0.0.0/33', 'all'],
    deny: ['localhost'],
  }
  for (const [name, texts] of Object.entries(wrong)) {
    for (const text of texts) {
      const message = new RegExp(`^invalid --${name} ${JSON.stringify(text)}: expected `)
      t.throws(() => parse({ [name]: text }), { message, code: 'EBADOPTION' }, `${name} ${text}`)
    }
  }
  t.same(Object.keys(wrong).sort(), PORT_OPTIONS.map(({ name }) => name).sort())
  t.throws(() => parse({ speed: '1' }), {
    message: /^unknown option "speed": expected accept-proxy,/,
  })
})

t.test('options travel in the environment', async (t) => {
  t.equal(optionVariable('max-connections'), 'DOCKER_PROXY_MAX_CONNECTIONS')
  t.same(optionEnvironment({ 'send-proxy': 'v1' }), { DOCKER_PROXY_SEND_PROXY: 'v1' })
})
