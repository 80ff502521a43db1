import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { userInfo } from 'node:os'
import { execaSync } from 'execa'
import t, { type Test } from 'tap'
import { processStartDate } from '../../src/linux/proc/process.js'
import { findHolder, occupyingSockets } from '../../src/ports/holder.js'
import { requireCheckedSyscalls } from '../../src/linux/ffi/checked-syscalls.js'
import { SOCK } from '../../src/linux/ffi/constants.js'
import { encodeSocketAddress, familyOf } from '../../src/linux/sockets/socket-address.js'
import { Allocator } from '../../src/ports/allocator.js'
import { MemoryClaims } from '../../src/ports/claims/memory-claims.js'
import { parsePortSpec } from '../../src/ports/port-spec.js'
import type { Refusal } from '../../src/ports/refusal.js'
import { dial, startEcho } from '../lib/sockets.js'
import type { HostPort } from '../../src/ports/host-port.js'
import { bindUdp } from '../lib/datagrams.js'
import { freeRow } from '../lib/free-row.js'
import { notRoot, PROGRAM, proxyFlags, READY, run, stop } from '../lib/program.js'
import { startProxyd } from '../lib/proxyd.js'
import { ownProcess } from '../lib/target.js'

/** A TCP socket that is bound and does not listen. */
function boundSocket(address: HostPort): number {
  const syscalls = requireCheckedSyscalls()
  const fd = syscalls.socket(familyOf(address.ip), SOCK.STREAM | SOCK.CLOEXEC, 0)
  syscalls.bind(fd, encodeSocketAddress(address))
  return fd
}

const NOBODY = 65_534
const skip = notRoot('to be another user')

/**
 * A process that listens on a free port of 127.0.0.1, and ends with the test. The port is not one of the kernel's choice: those are used
 * by the connections of tests that run side by side.
 */
async function startListener(
  t: Test,
  options: { uid?: number; prefix?: string[] } = {},
): Promise<{ pid: number; port: number; end: () => Promise<void> }> {
  const { uid, prefix = [] } = options
  const port = freeRow(1)
  const script = `require('node:net').createServer().listen(${port}, '127.0.0.1', () => console.log('listening'))`
  const [program, ...args] = [...prefix, process.execPath, '-e', script]
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(uid === undefined ? {} : { uid }),
  })
  const exit = once(child, 'exit')
  const end = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exit
  }
  t.teardown(end)
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  return { pid: child.pid ?? 0, port, end }
}

t.test('a process: pid, command, user, since when', async (t) => {
  const { pid, port } = await startListener(t)
  const holder = await findHolder({ protocol: 'tcp', ip: '0.0.0.0', port })
  t.match(holder, {
    kind: 'process',
    pid,
    address: `127.0.0.1:${port}`,
    user: userInfo().username,
    command: `${process.execPath} -e require('node:net')`,
  })
  t.match(holder, { since: new Date(processStartDate(pid) ?? 0).toISOString() })
})

t.test('a process of another user', { skip }, async (t) => {
  const { pid, port } = await startListener(t, { uid: NOBODY })
  t.match(await findHolder({ protocol: 'tcp', ip: '127.0.0.1', port }), {
    kind: 'process',
    pid,
    user: 'nobody',
  })
})

t.test("without root only the user of another one's process is known", { skip }, async (t) => {
  const { port } = await startListener(t)
  const child = spawn(
    process.execPath,
    ['dist/docker-publish', 'check', '-p', `127.0.0.1:${port}:80`],
    {
      uid: NOBODY,
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  const exit = once(child, 'exit')
  let stderr = ''
  for await (const chunk of child.stderr) stderr += (chunk as Buffer).toString()
  t.match(
    stderr,
    `held by   a process of another user (root) on 127.0.0.1:${port}; run as root to see which`,
  )
  t.same(await exit, [125, null])
})

t.test('a process that has ended is no holder', async (t) => {
  const { port, end } = await startListener(t)
  await end()
  t.equal(await findHolder({ protocol: 'tcp', ip: '127.0.0.1', port }), undefined)
})

t.test('a docker-proxy is shown with its container', async (t) => {
  const backend = { ip: '127.0.0.9', port: 80 }
  const { pid, port } = await ownProcess.startProxy(t, backend)
  t.match(await findHolder({ protocol: 'tcp', ip: '127.0.0.1', port }), {
    kind: 'process',
    pid,
    backend: '127.0.0.9:80',
    command: `docker-proxy ${proxyFlags(backend).join(' ')}`.slice(0, 40),
  })
})

t.test('a connection holds its own port, and a listener comes before a connection', async (t) => {
  const echo = await startEcho(t)
  const client = await dial(t, echo.port)
  const port = client.localPort ?? 0
  const remote = `127.0.0.1:${echo.port}`
  t.match(await findHolder({ protocol: 'tcp', ip: '0.0.0.0', port }), {
    kind: 'process',
    pid: process.pid,
    address: `127.0.0.1:${port}`,
    remote,
  })
  const listener = await findHolder({ protocol: 'tcp', ip: '0.0.0.0', port: echo.port })
  t.match(listener, { kind: 'process', address: remote })
  t.notOk(listener && 'remote' in listener)
  const udp = await bindUdp(t)
  udp.socket.connect(9, '127.0.0.1')
  await once(udp.socket, 'connect')
  t.match(await findHolder({ protocol: 'udp', ip: '0.0.0.0', port: udp.port }), {
    pid: process.pid,
    remote: '127.0.0.1:9',
  })
})

t.test('an accepted connection holds the port when its listener is gone', async (t) => {
  const port = freeRow(1)
  const server = createServer((socket) => socket.on('error', () => undefined))
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const client = await dial(t, port)
  await accepted
  server.close()
  t.match(await findHolder({ protocol: 'tcp', ip: '0.0.0.0', port }), {
    pid: process.pid,
    address: `127.0.0.1:${port}`,
    remote: `127.0.0.1:${client.localPort}`,
  })
  client.destroy()
})

t.test('a socket that is bound and does not listen', async (t) => {
  const port = freeRow(1)
  const fd = boundSocket({ protocol: 'tcp', ip: '127.0.0.1', port })
  t.teardown(() => closeSync(fd))
  const holder = await findHolder({ protocol: 'tcp', ip: '127.0.0.1', port })
  // Kernels before 6.8 do not list it.
  if (holder) t.match(holder, { kind: 'process', pid: process.pid })
  const refusal = (await new Allocator(new MemoryClaims())
    .check(parsePortSpec(`127.0.0.1:${port}:80`), () => {
      throw new Error('nothing is reserved')
    })
    .catch((err: unknown) => err)) as Refusal
  t.match(refusal.details.holder?.kind, holder ? 'process' : 'unlisted')
})

t.test('UDP', async (t) => {
  const port = freeRow(1)
  await bindUdp(t, '127.0.0.1', port)
  t.match(await findHolder({ protocol: 'udp', ip: '0.0.0.0', port }), {
    kind: 'process',
    pid: process.pid,
  })
  t.equal(await findHolder({ protocol: 'tcp', ip: '0.0.0.0', port }), undefined)
})

t.test('IPv6', async (t) => {
  const port = freeRow(1)
  const server = createServer().listen(port, '::1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  t.match(await findHolder({ protocol: 'tcp', ip: '::', port }), { address: `[::1]:${port}` })
  t.equal(await findHolder({ protocol: 'tcp', ip: '0.0.0.0', port }), undefined)
})

t.test('a foreign wildcard of IPv6 that may be dual-stack comes last', async (t) => {
  const port = freeRow(1)
  const v6 = createServer().listen({ port, host: '::', ipv6Only: true })
  await once(v6, 'listening')
  t.teardown(() => v6.close())
  const v4 = createServer().listen(port, '0.0.0.0')
  await once(v4, 'listening')
  t.teardown(() => v4.close())
  t.match(await findHolder({ protocol: 'tcp', ip: '127.0.0.1', port }), {
    address: `0.0.0.0:${port}`,
  })
})

t.test('a process in another network namespace has another port', { skip }, async (t) => {
  const name = `publish-${process.pid}`
  execaSync('ip', ['netns', 'add', name])
  t.teardown(() => execaSync('ip', ['netns', 'delete', name]))
  execaSync('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
  const { port } = await startListener(t, { prefix: ['ip', 'netns', 'exec', name] })
  t.equal(await findHolder({ protocol: 'tcp', ip: '127.0.0.1', port }), undefined)
})

t.test('a docker-proxy that has handed its port to a docker-proxyd', async (t) => {
  const proxyd = await startProxyd(t)
  const port = freeRow(1)
  const flags = proxyFlags({ ip: '127.0.0.9', port: 80 }, { port })
  const launcher = run(t, flags, { env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } })
  t.equal(await launcher.status, READY)
  t.match(await findHolder({ protocol: 'tcp', ip: '0.0.0.0', port }), {
    kind: 'process',
    pid: launcher.pid,
    backend: '127.0.0.9:80',
    command: `/bin/sh ${PROGRAM} ${flags.join(' ')}`,
  })
  // A launcher that waits for its port does not hold it.
  await stop(proxyd)
  const other = createServer().listen(port, '127.0.0.1')
  t.teardown(() => other.close())
  await once(other, 'listening')
  t.match(await findHolder({ protocol: 'tcp', ip: '0.0.0.0', port }), { pid: process.pid })
  t.match(await stop(launcher), { code: 0 })
})

t.test('all sockets that occupy ports are listed', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const udp = await bindUdp(t)
  const isOurs = (other: HostPort) => (socket: HostPort) =>
    socket.ip === other.ip && socket.port === other.port
  const tcp = { protocol: 'tcp', ip: '127.0.0.1', port } as const
  t.match(occupyingSockets('tcp').filter(isOurs(tcp)), [{ ...tcp, uid: process.getuid?.() }])
  t.match(occupyingSockets('udp').filter(isOurs({ ...tcp, port: udp.port })), [
    { protocol: 'udp', ip: udp.ip, port: udp.port },
  ])
})
