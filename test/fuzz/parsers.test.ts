import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { StateFile } from '../../src/controller/state-file.js'
import { parsePortSpecs } from '../../src/ports/port-spec.js'
import { formatFlags, parseFlags, publishedPortOf } from '../../src/proxy/flags.js'
import { parseProxyHeader } from '../../src/proxy/parse-proxy-header.js'
import { OPTION_NAMES, parsePortOptions } from '../../src/proxy/port-options.js'
import { proxyHeader } from '../../src/proxy/proxy-header.js'
import { readSettings } from '../../src/proxy/settings.js'
import { parseBackendList } from '../../src/status/backend-list.js'
import { ProxyStartError, readStatus } from '../../src/supervisor/reported-status.js'

/*
 * What others write: any text or bytes have a result, or the error that is documented. The numbers of both are printed. FUZZ_RUNS is the number
 * of cases of each.
 */

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 2_000)

/** Parses cases. @param errors the names of the documented errors */
async function fuzz<Case>(
  t: Test,
  cases: fc.Arbitrary<Case>,
  parse: (each: Case) => unknown,
  errors: readonly string[],
): Promise<void> {
  const counts = { parsed: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(cases, async (each) => {
      try {
        await parse(each)
        counts.parsed++
      } catch (err) {
        const { name, message } = err as Error
        if (!errors.includes(name)) throw err
        if (message.includes('\n'))
          throw new Error(`two lines: ${JSON.stringify(message)}`, { cause: err })
        counts.refused++
      }
    }),
    { numRuns: RUNS },
  )
  t.comment(counts)
  t.ok(counts.refused > 0)
  t.ok(counts.parsed > 0)
}

/** A valid text of which some characters are others. */
function nearly(...texts: string[]): fc.Arbitrary<string> {
  const edit = fc.record({ at: fc.nat(200), length: fc.nat(3), by: fc.string({ maxLength: 3 }) })
  const changed = fc
    .tuple(fc.constantFrom(...texts), fc.array(edit, { maxLength: 3 }))
    .map(([text, edits]) =>
      edits.reduce((now, { at, length, by }) => {
        const place = at % (now.length + 1)
        return now.slice(0, place) + by + now.slice(place + length)
      }, text),
    )
  return fc.oneof(changed, fc.string(), fc.string({ unit: 'binary' }))
}

t.test('flags', async (t) => {
  const word = fc.oneof(
    fc.constantFrom('-proto', '-host-ip', '--host-port', '-container-ip=', '-container-port', '-h'),
    fc.constantFrom('tcp', '127.0.0.1', '::', '8080', '-1', '0x50', '-use-listen-fd=true', '--'),
    fc.string(),
  )
  await fuzz(t, fc.array(word), (args) => parseFlags(args), ['FlagError'])
  const flags = fc.record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const),
    ip: fc.oneof(fc.ipV4(), fc.constant('::1')),
    port: fc.integer({ min: 0, max: 65_535 }),
    container: fc.record({ ip: fc.ipV4(), port: fc.integer({ min: 0, max: 65_535 }) }),
  })
  fc.assert(
    fc.property(flags, (port) => {
      t.same(publishedPortOf(parseFlags(formatFlags(port, false))), port)
    }),
    { numRuns: 100 },
  )
})

t.test('-p', async (t) => {
  const specs = nearly(
    '8080:80',
    '127.0.0.1:8000-8009:80-89/udp',
    '[::1]::80',
    'published=8080,target=80,protocol=tcp,mode=host',
  )
  await fuzz(t, fc.array(specs, { minLength: 1, maxLength: 3 }), (each) => parsePortSpecs(each), [
    'PortSpecError',
  ])
})

t.test('headers of the PROXY protocol', async (t) => {
  const connection = {
    client: { ip: '192.0.2.7', port: 4711 },
    server: { ip: '198.51.100.1', port: 80 },
  }
  const start = fc.constantFrom(
    Buffer.alloc(0),
    proxyHeader('v1', connection),
    proxyHeader('v2', connection),
  )
  const cases = fc.tuple(start, fc.nat(30), fc.uint8Array({ maxLength: 40 }))
  const verdicts: Record<string, number> = {}
  fc.assert(
    fc.property(cases, ([header, at, bytes]) => {
      const changed = Buffer.concat([header, bytes])
      if (at < changed.length) changed[at] = bytes[0] ?? 0
      const verdict = parseProxyHeader(changed)
      const kind = typeof verdict === 'string' ? verdict : 'complete'
      verdicts[kind] = (verdicts[kind] ?? 0) + 1
      return typeof verdict === 'string' || verdict.length <= changed.length
    }),
    { numRuns: RUNS },
  )
  t.comment(verdicts)
  t.same(Object.keys(verdicts).sort(), ['complete', 'incomplete', 'invalid'])
})

t.test('options of ports', async (t) => {
  const text = nearly('on', 'off', '10.0.0.0/8,192.0.2.7', '30s', '20/24/48', '1.5MiB', 'start,1%')
  const cases = fc.tuple(fc.constantFrom(...OPTION_NAMES), text)
  await fuzz(t, cases, ([name, value]) => parsePortOptions({ [name]: value }, String), [
    'PortOptionError',
  ])
})

t.test('the settings file and the environment', async (t) => {
  const path = join(t.testdir({}), 'settings.json')
  const text = nearly(
    '{"log-level": "debug", "workers": 2, "drain": "30s"}',
    '{"allow": "10.0.0.0/8", "max-connections": 500, "metrics": "127.0.0.1:0"}',
  )
  const cases = fc.oneof(text, fc.json())
  await fuzz(
    t,
    cases,
    (each) => {
      writeFileSync(path, each)
      readSettings({ DOCKER_PROXY_CONFIG: path })
    },
    ['SettingError'],
  )
})

t.test('the state file', async (t) => {
  const folder = join(t.testdir({}), 'state')
  mkdirSync(folder, { mode: 0o700 })
  const file = new StateFile(folder, 'a test')
  t.teardown(() => file.close())
  file.save([
    {
      ...{ name: 'web', backends: [{ ip: '172.17.0.2' }], created: '2026-01-01T00:00:00.000Z' },
      options: { 'max-connections': '5' },
      ports: [
        {
          ...{ id: '0f0e0d0c-0b0a-4908-8706-050403020100', protocol: 'tcp', ip: '0.0.0.0' },
          ...{ port: 8080, containerPort: 80 },
        },
      ],
      retired: [{ id: '1f0e0d0c-0b0a-4908-8706-050403020100' }],
    },
  ])
  const [saved] = file.load()
  t.equal(saved?.name, 'web')
  const cases = fc.oneof(nearly(readFileSync(file.path, 'utf8')), fc.json())
  await fuzz(
    t,
    cases,
    (each) => {
      writeFileSync(file.path, each)
      file.load()
    },
    ['StateError'],
  )
})

t.test('orders of addresses', async (t) => {
  const text = nearly('0 172.17.0.2@123/456 fd00::2', '30000 10.0.0.1')
  await fuzz(t, text, (each) => parseBackendList(each), ['Error'])
})

t.test('the status pipe of a docker-proxy', async (t) => {
  const text = nearly('0\n', '1\nfailed to bind port 0.0.0.0:80/tcp: address already in use')
  // Parts of it come one after the other.
  const parts = fc.tuple(text, fc.array(fc.nat(40), { maxLength: 3 }))
  const counts = { ready: 0, failed: 0 }
  await fc.assert(
    fc.asyncProperty(parts, async ([report, cuts]) => {
      const bytes = Buffer.from(report)
      const ends = [...cuts, bytes.length].sort((a, b) => a - b)
      const chunks = ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
      const pipe = Readable.from(
        chunks.filter(({ length }) => length > 0),
        { objectMode: false },
      )
      try {
        await readStatus(pipe, true)
        if (!report.startsWith('0\n')) throw new Error('it was taken for ready')
        counts.ready++
      } catch (err) {
        if (!(err instanceof ProxyStartError)) throw err
        if (report === '0\n' || err.message === '')
          throw new Error('it was misread', { cause: err })
        counts.failed++
      }
      if (!pipe.destroyed) throw new Error('the pipe stays open')
    }),
    { numRuns: RUNS },
  )
  t.comment(counts)
  t.ok(counts.ready > 0 && counts.failed > 0)
  const endless = Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(1024, 'x')
    })(),
    { objectMode: false },
  )
  const reason = await readStatus(endless, true).catch((err: unknown) => (err as Error).message)
  t.equal(reason?.length, 64 * 1024, 'an endless report is cut off')
})
