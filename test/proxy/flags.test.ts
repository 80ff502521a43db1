import t from 'tap'
import { parseFlags, usage, FlagError } from '../../src/proxy/flags.js'

const DEFAULTS = {
  protocol: 'tcp',
  ip: '0.0.0.0',
  port: -1,
  container: { ip: '0.0.0.0', port: -1 },
  useListenFd: false,
  version: false,
}

t.test('the flags of dockerd', async (t) => {
  const args =
    '-proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80 -use-listen-fd'
  t.same(parseFlags(args.split(' ')), {
    protocol: 'tcp',
    ip: '0.0.0.0',
    port: 8080,
    container: { ip: '172.17.0.2', port: 80 },
    useListenFd: true,
    version: false,
  })
})

t.test('one dash or two, joined or apart, the last one wins, the rest is ignored', async (t) => {
  t.same(parseFlags([]), DEFAULTS)
  t.same(parseFlags(['-host-port', '1', '--host-port=2', '-host-port=0x3']), {
    ...DEFAULTS,
    port: 3,
  })
  t.same(parseFlags(['-proto=a=b']), { ...DEFAULTS, protocol: 'a=b' })
  t.same(parseFlags(['-proto', '-v']), { ...DEFAULTS, protocol: '-v' })
  t.same(parseFlags(['-v=T', '-version=0']), DEFAULTS)
  t.same(parseFlags(['-use-listen-fd', 'false', '-foo']), { ...DEFAULTS, useListenFd: true })
  for (const end of ['--', '-', 'x', '']) t.same(parseFlags([end, '-foo']), DEFAULTS, `"${end}"`)
})

t.test('errors quote the input, on one line', async (t) => {
  const cases: [string[], string][] = [
    [['-constructor'], 'flag provided but not defined: -constructor'],
    [['-__proto__=1'], 'flag provided but not defined: -__proto__'],
    [['-host-ip', 'a\nb\u0001é"\\'], 'invalid value "a\\nb\\x01é\\"\\\\" for flag -host-ip: '],
    [['-v='], 'invalid boolean value "" for -v: parse error'],
    [['----'], 'bad flag syntax: ----'],
  ]
  for (const [args, message] of cases) {
    t.throws(() => parseFlags(args), { name: 'FlagError', exitCode: 2 }, message)
    try {
      parseFlags(args)
    } catch (err) {
      t.ok((err as FlagError).message.startsWith(message), message)
    }
  }
})

t.test('requested help is no error', async (t) => {
  for (const args of [['-h'], ['--help'], ['-help=0'], ['-v', '-h']]) {
    t.throws(() => parseFlags(args), { message: '', exitCode: 0 })
  }
  t.match(usage('docker-proxy'), /^Usage of docker-proxy:\n {2}-container-ip value\n/)
})
