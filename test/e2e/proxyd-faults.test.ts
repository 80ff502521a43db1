import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import koffi from 'koffi'
import t from 'tap'
import { openDescriptors } from '../lib/proc.js'
import { notRoot, PROGRAM, proxyFlags, READY, run, stop, type Running } from '../lib/program.js'
import { freeRow } from '../lib/free-row.js'
import { PROXYD, runFolder, startProxyd, type RunningProxyd } from '../lib/proxyd.js'
import {
  dial,
  exchange,
  listeningDescriptor,
  readAll,
  readBytes,
  startEcho,
} from '../lib/sockets.js'
import { mountSmallDisk } from '../lib/small-disk.js'
import { until } from '../lib/until.js'

/** 200 ports: those that a test may have in a row, on several addresses. */
const HOSTS = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5']
const PORTS_OF_A_HOST = 40
const PORTS = HOSTS.length * PORTS_OF_A_HOST

const SHUT_RD = 0
const shutdown = koffi.load(null).func('int shutdown(int fd, int how)') as (
  fd: number,
  how: number,
) => number

interface Port extends Running {
  readonly port: number
  readonly host: string
}

async function publishMany(
  proxyd: RunningProxyd,
  backend: { ip: string; port: number },
): Promise<Port[]> {
  const first = freeRow(PORTS_OF_A_HOST)
  const ports: Port[] = []
  for (const host of HOSTS) {
    const started = Array.from({ length: PORTS_OF_A_HOST }, async (_, i) => {
      const flags = proxyFlags(backend, { ip: host, port: first + i })
      return { host, ...(await proxyd.publish(backend, { flags })) }
    })
    ports.push(...(await Promise.all(started)))
  }
  return ports
}

t.test('200 ports under load, whose docker-proxyd is killed again and again', async (t) => {
  const echo = await startEcho(t)
  let proxyd = await startProxyd(t)
  const launchers = await publishMany(proxyd, echo)
  let isOver = false
  let answered = 0
  const ask = (turn: number, text: string): Promise<string> => {
    const { port = 0, host } = launchers[turn % launchers.length] ?? {}
    return exchange(t, port, text, host)
  }
  // Connections that are under way when it is killed end; that is all they do.
  const load = Array.from({ length: 4 }, async (_, i) => {
    for (let turn = i; !isOver; turn++) {
      const answer = await ask(turn, 'x').catch(() => '')
      if (answer === 'x') answered++
    }
  })
  for (let times = 0; times < 3; times++) {
    const before = answered
    await until(() => answered > before + 50)
    proxyd.child.kill('SIGKILL')
    await proxyd.exit
    proxyd = await startProxyd(t, { folder: proxyd.folder })
    for (const { pid, port } of launchers) t.equal(await proxyd.portOf(pid), port)
  }
  for (const i of launchers.keys()) t.equal(await ask(i, 'there'), 'there')
  isOver = true
  await Promise.all(load)

  // Some are killed, the others stopped; nothing of them stays.
  for (const [i, { child }] of launchers.entries()) child.kill(i % 2 === 0 ? 'SIGKILL' : 'SIGINT')
  for (const { exit } of launchers) await exit
  const idle = await startProxyd(t)
  await until(() => openDescriptors(proxyd.pid) <= openDescriptors(idle.pid) + 2)
  t.same(readdirSync(proxyd.folder).sort(), ['control', 'pid', 'socket'])
  t.match(await stop(proxyd), { code: 0 })
})

t.test('out of descriptors, new ports are refused and those that are there go on', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t, { descriptors: 64 })
  const launchers: (Running & { port: number })[] = []
  let refusal = ''
  while (refusal === '') {
    try {
      launchers.push(await proxyd.publish(echo, { flags: proxyFlags(echo) }))
    } catch (err) {
      refusal = (err as Error).message
    }
  }
  t.match(refusal, 'too many open files')
  t.ok(launchers.length > 5)
  for (const launcher of launchers.slice(5)) t.match(await stop(launcher), { code: 0 })
  const again = await proxyd.publish(echo)
  t.equal(await exchange(t, again.port, 'again'), 'again')
  t.equal(await exchange(t, launchers[0]?.port ?? 0, 'still'), 'still')
})

for (const engine of ['native', 'streams'] as const) {
  t.test(
    `out of descriptors, clients of all ports wait, and have their turn: ${engine}`,
    async (t) => {
      const SHORT_PORTS = 30
      const CLIENTS_OF_A_PORT = 6
      const echo = await startEcho(t)
      const env = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_WORKERS: '1' }
      const proxyd = await startProxyd(t, { descriptors: 256, env })
      const ports = await Promise.all(
        Array.from({ length: SHORT_PORTS }, () => proxyd.publish(echo)),
      )
      const isShort = (): boolean =>
        proxyd.lines.some(({ msg }) => String(msg).startsWith('Out of file descriptors'))
      const answers = await Promise.all(
        Array.from({ length: CLIENTS_OF_A_PORT }, () => ports)
          .flat()
          .map(async ({ port }) => {
            const client = await dial(t, port)
            client.write('x')
            const answer = await readBytes(client, 1)
            // Whoever is served at first stays, until there is no room for others.
            await until(isShort)
            client.end()
            return answer
          }),
      )
      t.ok(answers.every((answer) => answer === 'x'))
      t.notOk(proxyd.lines.some(({ msg }) => String(msg).startsWith("Can't forward")))
    },
  )
}

t.test(
  'with sockets that dockerd hands over, no connection is refused while it is down',
  async (t) => {
    const echo = await startEcho(t)
    let proxyd = await startProxyd(t)
    const flags = [...proxyFlags(echo, { port: 1 }), '-use-listen-fd']
    const ports = await Promise.all(
      Array.from({ length: PORTS }, async () => {
        const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
        await proxyd.publish(echo, { flags, listenFd: fd })
        closeSync(fd)
        return port
      }),
    )
    for (let times = 0; times < 3; times++) {
      proxyd.child.kill('SIGKILL')
      await proxyd.exit
      // All of them while nobody is there.
      const waiting = await Promise.all(ports.map((port) => dial(t, port)))
      proxyd = await startProxyd(t, { folder: proxyd.folder })
      const answers = waiting.map(async (client) => {
        client.end('waited')
        return readAll(client)
      })
      t.ok((await Promise.all(answers)).every((answer) => answer === 'waited'))
    }
  },
)

t.test(
  'dockerd is killed: its launchers are told by the kernel, and all ports are free',
  async (t) => {
    const echo = await startEcho(t)
    const proxyd = await startProxyd(t)
    const first = freeRow(PORTS_OF_A_HOST)
    const ports = HOSTS.flatMap((ip) =>
      Array.from({ length: PORTS_OF_A_HOST }, (_, i) => ({ ip, port: first + i })),
    )
    // dockerd asks for a signal when it ends, see PR_SET_PDEATHSIG of prctl(2).
    const commands = ports.map((port) => {
      const flags = proxyFlags(echo, port).join(' ')
      // In the background of a script a shell has SIGINT ignored, which dockerd does not.
      return `env --default-signal=INT setpriv --pdeathsig TERM ${PROGRAM} ${flags} 3>/dev/null &`
    })
    const parent = run(t, ['-c', `${commands.join('\n')}\nwait`], {
      program: '/bin/sh',
      env: { DOCKER_PROXY_RUN_DIR: proxyd.folder },
    })
    const listening = (): number =>
      proxyd.lines.filter(({ msg }) => String(msg).startsWith('Proxy listening')).length
    await until(() => listening() === ports.length)
    for (const { ip, port } of ports) t.equal(await exchange(t, port, 'x', ip), 'x')
    parent.child.kill('SIGKILL')
    await until(
      () => proxyd.lines.filter(({ msg }) => msg === 'Proxy stopped').length === ports.length,
    )
    for (const { ip, port } of ports) {
      await t.rejects(dial(t, port, ip), { code: 'ECONNREFUSED' })
    }
  },
)

t.test('a fault of one port ends that one alone', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  const others = await Promise.all(Array.from({ length: 5 }, () => proxyd.publish(echo)))
  const { fd } = await listeningDescriptor(t, { host: '127.0.0.1' })
  const flags = [...proxyFlags(echo, { port: 1 }), '-use-listen-fd']
  const broken = await proxyd.publish(echo, { flags, listenFd: fd })
  t.equal(shutdown(fd, SHUT_RD), 0)
  closeSync(fd)
  t.match(await broken.exit, { code: 1 })
  for (const { port } of others) t.equal(await exchange(t, port, 'x'), 'x')
})

t.test('a burst beyond the descriptors is refused, each with the reason', async (t) => {
  const BURST = 52
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t, { descriptors: 64 })
  proxyd.child.kill('SIGSTOP')
  const launchers = Array.from({ length: BURST }, () =>
    run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } }),
  )
  // All of them have asked before any is answered.
  await until(() =>
    launchers.every(({ pid }) => readlink(`/proc/${pid}/fd/9`)?.endsWith('/control') === true),
  )
  proxyd.child.kill('SIGCONT')
  const answers = await Promise.all(launchers.map(({ status }) => status))
  const ready = answers.filter((answer) => answer === READY)
  t.ok(ready.length > 0 && ready.length < BURST, `${ready.length} of ${BURST}`)
  for (const answer of answers.filter((each) => each !== READY)) {
    t.match(answer, /^1\n.*: too many open files$/)
  }
})

t.test('who asks while it ends is answered, and becomes the program', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  proxyd.child.kill('SIGSTOP')
  const launchers = Array.from({ length: 10 }, () =>
    run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } }),
  )
  await until(() =>
    launchers.every(({ pid }) => readlink(`/proc/${pid}/fd/9`)?.endsWith('/control') === true),
  )
  proxyd.child.kill('SIGTERM')
  proxyd.child.kill('SIGCONT')
  for (const { status } of launchers) t.equal(await status, READY)
  t.match(await proxyd.exit, { code: 0 })
  for (const launcher of launchers) t.match(await stop(launcher), { code: 0 })
})

t.test(
  'a replacement that fails for a full disk leaves it able to work',
  { skip: notRoot('to mount a disk') },
  async (t) => {
    const echo = await startEcho(t)
    const disk = mountSmallDisk(t)
    chmodSync(disk.folder, 0o700)
    const proxyd = await startProxyd(t, { folder: disk.folder })
    disk.fill()
    const next = run(t, ['--run-dir', disk.folder, '--replace'], { program: PROXYD })
    t.match(await next.exit, { code: 1 })
    const launcher = await proxyd.publish(echo)
    t.equal(await exchange(t, launcher.port, 'still'), 'still')
    t.match(await stop(launcher), { code: 0 })
    t.match(await stop(proxyd), { code: 0 })
  },
)

t.test('a launcher whose control pipe was removed ends when it is told to', async (t) => {
  const echo = await startEcho(t)
  const folder = runFolder(t)
  const first = await startProxyd(t, { folder })
  const launcher = await first.publish(echo)
  first.child.kill('SIGKILL')
  await first.exit
  rmSync(join(folder, 'control'))
  const next = await startProxyd(t, { folder })
  t.match(await stop(launcher), { code: 0 })
  t.match(await stop(next), { code: 0 })
})

t.test('a control pipe that others may write to is not used', async (t) => {
  const folder = runFolder(t)
  execFileSync('mkfifo', ['-m', '666', join(folder, 'control')])
  const proxyd = run(t, ['--run-dir', folder], { program: PROXYD })
  t.match(await proxyd.exit, { code: 1 })
  t.equal(
    await proxyd.stderr,
    `docker-proxyd: can't use ${join(folder, 'control')}: others may use it; remove it\n`,
  )
})

function readlink(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined // Not yet.
  }
}
