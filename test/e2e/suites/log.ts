import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { makeFifo } from '../../lib/fifo.js'
import { freeRow } from '../../lib/free-row.js'
import { childrenOf, listeningPort } from '../../lib/proc.js'
import { copyAlone, proxyFlags, READY, stop, type Running } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { dial } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

/** Each connection makes a line of its own: its end, with the client's address. Equal lines would be counted. */
const DEBUG = { DOCKER_PROXY_LOG_LEVEL: 'debug' }

/** A backend that nobody listens on: dials fail. No other test gets its port. */
const deadBackend = (): { ip: string; port: number } => ({ ip: '127.0.0.1', port: freeRow(1) })

/** Connects while the backend is down. Returns when the proxy has closed the connection. */
async function fail(t: Test, port: number): Promise<void> {
  const client = await dial(t, port)
  client.resume()
  await once(client, 'end')
  client.destroy()
}

/** Causes more lines than any buffer holds, then checks that the proxy runs and ends well. */
async function survives(t: Test, running: Running & { port: number }): Promise<void> {
  for (let i = 0; i < 1500; i += 50) {
    await Promise.all(Array.from({ length: 50 }, () => fail(t, running.port)))
  }
  t.same(await stop(running), { code: 0, signal: null })
}

export function logSuite(t: Test, target: Target): void {
  t.test('start, faults and stop as JSON lines, in the words of the original', async (t) => {
    const backend = deadBackend()
    const running = await target.startProxy(t, backend)
    await fail(t, running.port)
    await stop(running)
    const lines = (await target.logOf(running))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: number; msg: string; name: string; time: number })
    const address = `127.0.0.1:${backend.port}`
    t.same(
      lines.map(({ level, msg }) => [level, msg]),
      [
        [30, `Proxy listening on tcp/127.0.0.1:${running.port} for tcp/${address}`],
        [
          50,
          `Can't forward traffic to backend tcp/${address}: dial tcp ${address}: connect: connection refused`,
        ],
        [30, 'Proxy stopped'],
      ],
    )
    const program = target.isShared ? 'docker-proxyd' : 'docker-proxy'
    t.ok(lines.every(({ name, time }) => name === program && time <= Date.now()))
  })

  t.test('a file', async (t) => {
    const path = join(t.testdir(), 'log')
    const stderr = openSync(path, 'w')
    const running = await target.startProxy(t, deadBackend(), { stderr })
    closeSync(stderr)
    await survives(t, running)
    const repetitions = (): (number | undefined)[] =>
      readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line.includes("Can't forward"))
        .map((line) => (JSON.parse(line) as { repeated?: number }).repeated)
    // A docker-proxyd may write it after the launcher has ended.
    await until(() => repetitions().length > 1)
    t.same(repetitions(), [undefined, 1499], 'the first line, and one for all that repeat it')
  })

  t.test('a full disk', async (t) => {
    const stderr = openSync('/dev/full', 'w')
    const running = await target.startProxy(t, deadBackend(), { stderr, env: DEBUG })
    closeSync(stderr)
    await survives(t, running)
  })

  t.test('an unread pipe', async (t) => {
    const fifo = makeFifo(t)
    const running = await target.startProxy(t, deadBackend(), {
      stderr: fifo.writeFd,
      env: DEBUG,
    })
    await survives(t, running)
  })

  t.test('a pipe that is read again receives the number of lost lines', async (t) => {
    const fifo = makeFifo(t)
    const running = await target.startProxy(t, deadBackend(), {
      stderr: fifo.writeFd,
      env: DEBUG,
    })
    await fifo.readLines(1)
    await fail(t, running.port)
    fifo.fill()
    // The log is written only now and then between connections, see MAX_TURN_MS in linux/sockets/node-poller.ts.
    for (let i = 0; i < 20; i++) await fail(t, running.port)
    fifo.drain()
    await fail(t, running.port)
    const [notice = '', line = ''] = await fifo.readLines(2)
    t.match(JSON.parse(notice), {
      level: 40,
      msg: /^\d+ log lines lost: stderr could not be written$/,
    })
    t.match(JSON.parse(line), { level: 20, msg: 'Connection closed' })
    await stop(running)
  })

  t.test(
    'a failed start is reported to the parent and ends, even if stderr is not read',
    async (t) => {
      const cases: [string[], NodeJS.ProcessEnv, number, string][] = [
        [
          ['-host-ip', '192.0.2.1', '-host-port', '80'],
          {},
          1,
          '1\nfailed to listen on 192.0.2.1:80',
        ],
        [['-host-port', '0'], { DOCKER_PROXY_LOG_LEVEL: 'loud' }, 2, '1\ninvalid setting "loud"'],
        [['-proto', 'foo'], {}, 1, '1\nunsupported protocol foo'],
        [['-foo'], {}, 2, ''],
      ]
      for (const [i, [args, env, code, status]] of cases.entries()) {
        const fifo = makeFifo(t, `pipe${i}`)
        fifo.fill()
        const running = target.run(t, args, { stderr: fifo.writeFd, env })
        t.ok((await running.status).startsWith(status), args.join(' '))
        t.same(await running.exit, { code, signal: null })
      }
    },
  )

  t.test('the program alone, without the files beside it, logs the same lines', async (t) => {
    const args = proxyFlags(deadBackend())
    const running = target.run(t, args, { program: copyAlone(t) })
    t.equal(await running.status, READY)
    await fail(t, listeningPort(running.pid))
    await stop(running)
    const lines = (await running.stderr).trim().split('\n')
    t.match(
      lines.map((line) => JSON.parse(line) as object),
      [
        { level: 30, name: 'docker-proxy', msg: /^Proxy listening/ },
        { level: 50, pid: running.pid, msg: /^Can't forward traffic/ },
        { level: 30, signal: 'SIGINT', msg: 'Proxy stopped' },
      ],
    )
  })

  t.test('a pipe whose reader has gone', async (t) => {
    const fifo = makeFifo(t)
    const running = await target.startProxy(t, deadBackend(), {
      stderr: fifo.writeFd,
      env: DEBUG,
    })
    fifo.closeRead()
    fifo.closeWrite()
    await survives(t, running)
  })

  t.test("an unread socket, like that of systemd's journal", async (t) => {
    const running = await target.startProxy(t, deadBackend(), { env: DEBUG })
    // Node's 'pipe' stdio is a socket. Nothing reads it while it is paused.
    running.child.stderr?.pause()
    await survives(t, running)
  })

  t.test('a socket whose reader has gone', async (t) => {
    const running = await target.startProxy(t, deadBackend(), { env: DEBUG })
    running.stderr.catch(() => undefined)
    running.child.stderr?.destroy()
    await survives(t, running)
  })

  t.test('no stderr at all', async (t) => {
    const backend = deadBackend()
    const args = ['-c', 'exec 2>&-; exec "$@"', 'sh', target.program, ...proxyFlags(backend)]
    const running = target.run(t, args, { program: '/bin/sh' })
    t.equal(await running.status, READY)
    await survives(t, { ...running, port: await target.portOf(running) })
  })

  t.test('on a terminal the lines are for people', async (t) => {
    // script(1) gives its command a terminal.
    const command = `exec ${target.program} -host-ip 127.0.0.1 -host-port 0`
    const terminal = target.run(t, ['-qec', command, '/dev/null'], {
      program: 'script',
      status: 'ignore',
    })
    let seen = ''
    const stopWhenUp = (chunk: Buffer): void => {
      seen += chunk.toString()
      if (!seen.includes('no client will get through')) return
      terminal.child.stdout?.off('data', stopWhenUp)
      for (const pid of childrenOf(terminal.pid)) process.kill(pid, 'SIGINT')
    }
    terminal.child.stdout?.on('data', stopWhenUp)
    const output = await terminal.stdout
    t.match(output, /INFO.*Proxy listening on tcp\/127\.0\.0\.1:\d+/)
    t.match(output, /WARN.*-container-port -1 is not between 1 and 65535/)
    t.match(output, /INFO.*Proxy stopped/)
    t.same(await terminal.exit, { code: 0, signal: null })
  })
}
