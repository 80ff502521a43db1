import { closeSync, openSync } from 'node:fs'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createSocket } from 'node:dgram'
import koffi from 'koffi'
import type { Test } from 'tap'
import { proxyFlags, READY, stop } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { assertReleased } from '../../lib/released.js'
import { dial, exchange, listeningDescriptor, readAll, startEcho } from '../../lib/sockets.js'

const SHUT_RD = 0
const shutdown = koffi.load(null).func('int shutdown(int fd, int how)') as (
  fd: number,
  how: number,
) => number

export function listenFdSuite(t: Test, target: Target): void {
  for (const [name, host, ipv6Only, clients] of [
    ['IPv4', '127.0.0.1', false, ['127.0.0.1']],
    ['IPv6', '::1', true, ['::1']],
    ['dual stack', '::', false, ['127.0.0.1', '::1']],
  ] as const) {
    t.test(`a listening socket handed over: ${name}`, async (t) => {
      const { fd, port } = await listeningDescriptor(t, { host, ipv6Only })
      const waiting = await dial(t, port, clients[0])
      waiting.end('came before')
      const echo = await startEcho(t)
      // With -use-listen-fd, the host address of the flags is only a name.
      const args = [...proxyFlags(echo, { ip: '0.0.0.0', port: 80 }), '-use-listen-fd']
      const running = target.run(t, args, { listenFd: fd })
      closeSync(fd)
      t.equal(await running.status, READY)
      t.equal(await readAll(waiting), 'came before')
      for (const client of clients) t.equal(await exchange(t, port, client, client), client)
      t.match(await stop(running), { code: 0 })
      await assertReleased(t, port, clients[0])
    })
  }

  t.test('a wrong kind of socket is refused', async (t) => {
    const udp = createSocket('udp4').bind(0, '127.0.0.1')
    await once(udp, 'listening')
    // An abstract name, see unix(7): a path may be too long for a socket.
    const unix = createServer().listen(`\0docker-proxy-test-${process.pid}`)
    await once(unix, 'listening')
    const file = openSync('/dev/null', 'r')
    t.teardown(() => {
      udp.close()
      unix.close()
      closeSync(file)
    })
    const handle = (of: unknown): number => (of as { _handle: { fd: number } })._handle.fd
    const udpFd = (udp as unknown as Record<symbol, { handle: { fd: number } }>)[
      Object.getOwnPropertySymbols(udp).find((s) => s.description === 'state symbol') ?? Symbol()
    ]?.handle.fd
    const cases: [string, number | undefined, string][] = [
      ['none', undefined, 'file file+net listen-sock: '],
      ['a file', file, 'file file+net listen-sock: getsockopt: socket operation on non-socket'],
      ['UDP', udpFd, 'file file+net listen-sock: invalid argument'],
      ['unix', handle(unix), 'unexpected socket type for listener fd: unix'],
    ]
    for (const [name, fd, text] of cases) {
      const running = target.run(
        t,
        ['-host-port', '80', '-use-listen-fd'],
        fd ? { listenFd: fd } : {},
      )
      t.match(await running.status, `1\n${text}`, name)
      t.match(
        await running.stderr,
        'with -use-listen-fd the parent hands over a listening TCP socket as descriptor 4',
      )
      t.match(await running.exit, { code: 1 })
    }
  })

  t.test('a listener that breaks ends the proxy, and says so', async (t) => {
    const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
    const running = target.run(t, ['-container-port', '80', '-use-listen-fd'], { listenFd: fd })
    t.equal(await running.status, READY)
    t.equal(shutdown(fd, SHUT_RD), 0)
    closeSync(fd)
    t.match(await running.exit, { code: 1 })
    t.match(
      await target.logOf(running),
      `Stopping proxy on tcp/127.0.0.1:${port} for tcp/0.0.0.0:80 (accept tcp 127.0.0.1:${port}: accept: invalid argument)`,
    )
  })
}
