import { existsSync } from 'node:fs'
import type { Test } from 'tap'
import { ORIGINAL, READY, stop } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'

/*
 * The command line, compared with the original's if that is installed.
 */

const USAGE = `
  -container-ip value
    \tcontainer ip (default 0.0.0.0)
  -container-port int
    \tcontainer port (default -1)
  -host-ip value
    \thost ip (default 0.0.0.0)
  -host-port int
    \thost port (default -1)
  -proto string
    \tproxy protocol (default "tcp")
  -use-listen-fd
    \tuse a supplied listen fd
  -v\tprint version information and quit
  -version
    \tprint version information and quit
`

interface Row {
  readonly args: string
  readonly code: number
  /** The first line on stderr. */
  readonly stderr?: string
  /** The text on the status pipe. */
  readonly status?: string
  /** Old releases of the original behave differently here, or lack the flag. */
  readonly ownWay?: true
}

const listenError = (address: string, reason: string, network = 'tcp4'): string =>
  `1\nfailed to listen on ${address}: listen ${network} ${address}: bind: ${reason}`

/** A kernel with SCTP publishes the port, see test/proxy/native/sctp.test.ts. The streams engine has no SCTP. */
const sctpRows = (engines: Target['engines']): Row[] =>
  existsSync('/proc/net/sctp') || !engines.includes('native')
    ? []
    : [
        {
          args: '-proto sctp -host-ip 127.0.0.1 -host-port 80 -container-ip 127.0.0.1 -container-port 80',
          code: 1,
          stderr:
            'failed to listen on 127.0.0.1:80: protocol not supported (this kernel has no sctp: load its module, for example with modprobe sctp)',
          status: '1\nfailed to listen on 127.0.0.1:80: protocol not supported',
        },
      ]

const ROWS: Row[] = [
  { args: '-foo', code: 2, stderr: 'flag provided but not defined: -foo' },
  { args: '--foo', code: 2, stderr: 'flag provided but not defined: -foo' },
  { args: '-foo=bar', code: 2, stderr: 'flag provided but not defined: -foo' },
  { args: '-host-port', code: 2, stderr: 'flag needs an argument: -host-port' },
  { args: '--container-ip', code: 2, stderr: 'flag needs an argument: -container-ip' },
  {
    args: '-host-port abc',
    code: 2,
    stderr: 'invalid value "abc" for flag -host-port: parse error',
  },
  {
    args: '-host-port=',
    code: 2,
    stderr: 'invalid value "" for flag -host-port: parse error',
  },
  {
    args: '-container-port 08',
    code: 2,
    stderr: 'invalid value "08" for flag -container-port: parse error',
  },
  {
    args: '-container-port 1__0',
    code: 2,
    stderr: 'invalid value "1__0" for flag -container-port: parse error',
  },
  {
    args: '-host-port=99999999999999999999',
    code: 2,
    stderr: 'invalid value "99999999999999999999" for flag -host-port: value out of range',
  },
  { args: '-=x', code: 2, stderr: 'bad flag syntax: -=x' },
  { args: '---x', code: 2, stderr: 'bad flag syntax: ---x' },
  { args: '--=x', code: 2, stderr: 'bad flag syntax: --=x' },
  {
    args: '-host-ip abc',
    code: 2,
    stderr: 'invalid value "abc" for flag -host-ip: invalid IP address: abc',
    ownWay: true,
  },
  {
    args: '-container-ip 1.2.3',
    code: 2,
    stderr: 'invalid value "1.2.3" for flag -container-ip: invalid IP address: 1.2.3',
    ownWay: true,
  },
  {
    args: '-v=maybe',
    code: 2,
    stderr: 'invalid boolean value "maybe" for -v: parse error',
    ownWay: true,
  },
  {
    args: '-use-listen-fd=2',
    code: 2,
    stderr: 'invalid boolean value "2" for -use-listen-fd: parse error',
    ownWay: true,
  },
  { args: '-h', code: 0, stderr: 'Usage of PROGRAM:' },
  { args: '-help', code: 0, stderr: 'Usage of PROGRAM:' },
  { args: '--help', code: 0, stderr: 'Usage of PROGRAM:' },
  // Parsing stops at the first argument that is no flag. Each number has its own notation.
  {
    args: '-host-ip 192.0.2.1 -host-port 0x50 -- -foo',
    code: 1,
    status: listenError('192.0.2.1:80', 'cannot assign requested address'),
  },
  {
    args: '--host-ip=192.0.2.1 -host-port 0b101 stop -foo',
    code: 1,
    status: listenError('192.0.2.1:5', 'cannot assign requested address'),
  },
  {
    args: '-host-ip 192.0.2.1 -host-port 0120 - -foo',
    code: 1,
    status: listenError('192.0.2.1:80', 'cannot assign requested address'),
  },
  {
    args: '-host-ip 192.0.2.1 -host-port 0o1_20',
    code: 1,
    status: listenError('192.0.2.1:80', 'cannot assign requested address'),
  },
  {
    args: '-host-ip 192.0.2.1 -host-port 1 -host-port 6_5_5',
    code: 1,
    status: listenError('192.0.2.1:655', 'cannot assign requested address'),
  },
  {
    args: '-host-ip 2001:db8:0:0::1 -host-port 80',
    code: 1,
    status: listenError('[2001:db8::1]:80', 'cannot assign requested address', 'tcp6'),
  },
  {
    args: '-host-ip ::ffff:192.0.2.1 -host-port 80',
    code: 1,
    status: listenError('192.0.2.1:80', 'cannot assign requested address'),
  },
  {
    args: '-host-ip 127.0.0.1 -host-port 70000',
    code: 1,
    status: listenError('127.0.0.1:70000', 'invalid argument'),
  },
  {
    args: '-host-ip 127.0.0.1 -host-port -5',
    code: 1,
    status: listenError('127.0.0.1:-5', 'invalid argument'),
  },
  { args: '', code: 1, status: listenError('0.0.0.0:-1', 'invalid argument'), ownWay: true },
  {
    args: '-proto foo',
    code: 1,
    stderr: 'unsupported protocol foo',
    status: '1\nunsupported protocol foo',
    ownWay: true,
  },
  {
    args: '-proto TCP',
    code: 1,
    stderr: 'unsupported protocol TCP',
    status: '1\nunsupported protocol TCP',
    ownWay: true,
  },
  {
    args: '-proto udp -host-ip 192.0.2.1 -host-port 53',
    code: 1,
    status: listenError('192.0.2.1:53', 'cannot assign requested address', 'udp4'),
    ownWay: true,
  },
  {
    args: '-proto udp -host-ip 127.0.0.1 -host-port 70000',
    code: 1,
    status: listenError('127.0.0.1:70000', 'invalid argument', 'udp4'),
    ownWay: true,
  },
]

export function flagsSuite(t: Test, target: Target): void {
  for (const row of [...ROWS, ...sctpRows(target.engines)]) {
    t.test(`docker-proxy ${row.args}`, async (t) => {
      const args = row.args === '' ? [] : row.args.split(' ')
      const ours = target.run(t, args)
      const [{ code }, stderr, status] = await Promise.all([ours.exit, ours.stderr, ours.status])
      const [firstLine = ''] = stderr.replace(target.program, 'PROGRAM').split('\n')
      t.equal(code, row.code)
      t.equal(status, row.status ?? '')
      if (row.stderr !== undefined) t.equal(firstLine, row.stderr)
      if (row.code === 2 || row.stderr?.startsWith('Usage')) {
        t.ok(stderr.endsWith(`Usage of ${target.program}:${USAGE}`), 'the usage text follows')
      } else {
        t.equal(stderr.trimEnd().split('\n').length, 1, 'one line on stderr')
      }

      if (row.ownWay || !existsSync(ORIGINAL)) return
      const original = target.run(t, args, { program: ORIGINAL })
      const theirs = await Promise.all([original.exit, original.stderr, original.status])
      t.equal(code, theirs[0].code, 'exit code of the original')
      const theirLine = theirs[1].replace(ORIGINAL, 'PROGRAM').split('\n')[0]
      if (theirLine) t.equal(firstLine, theirLine, 'stderr of the original')
      // Releases before 28 omit the first half of the sentence.
      const sentence = (text: string): string => text.replace(/failed to listen on \S+: /, '')
      t.equal(sentence(status), sentence(theirs[2]), 'status of the original')
    })
  }

  for (const args of [
    ['-v'],
    ['-version'],
    ['--version=true'],
    ['-v', 'ignored'],
    ['-v', '-host-port', '1'],
  ]) {
    t.test(`docker-proxy ${args.join(' ')} prints the version`, async (t) => {
      const { exit, stdout, stderr, status } = target.run(t, args)
      t.match(await stdout, /^docker-proxy \(commit \S+\) version \d+\.\d+\.\d+\nengine: native\n$/)
      t.equal(await stderr, '')
      t.equal(await status, '')
      t.match(await exit, { code: 0 })
    })
  }

  t.test('a version that can not be printed is a failure', async (t) => {
    const { openSync, closeSync } = await import('node:fs')
    const full = openSync('/dev/full', 'w')
    t.teardown(() => closeSync(full))
    const { exit, stderr } = target.run(t, ['-v'], { stdout: full })
    t.match(await stderr, /^can't write to stdout: no space left on device\n$/)
    t.match(await exit, { code: 1 })
  })

  t.test('defaults: all addresses of IPv4', async (t) => {
    const running = target.run(t, ['-host-port', '0', '-container-port', '80', '-v=false'])
    t.equal(await running.status, READY)
    t.match(await stop(running), { code: 0 })
    t.match(
      await target.logOf(running),
      /Proxy listening on tcp\/0\.0\.0\.0:\d+ for tcp\/0\.0\.0\.0:80/,
    )
  })

  t.test('a container port that can not be is warned about', async (t) => {
    const running = target.run(t, ['-host-ip', '::1', '-host-port', '0'])
    t.equal(await running.status, READY)
    t.match(await stop(running), { code: 0 })
    t.match(await target.logOf(running), /-container-port -1 is not between 1 and 65535/)
  })
}
