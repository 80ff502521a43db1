import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makeFifo } from '../lib/fifo.js'
import { PROGRAM, proxyFlags, startProxy, stop, testEnvironment, type Running } from '../lib/program.js'
import { dial, startEcho, type Backend } from '../lib/sockets.js'

const PIPE_CAPACITY = 64 * 1024

/** A backend that was there and is gone, so each connection makes a line. */
async function deadBackend(t: Test): Promise<Backend> {
  const backend = await startEcho(t)
  backend.server.close()
  await once(backend.server, 'close')
  return backend
}

/** A connection whose backend is down: returns once the proxy has closed it. */
async function fail(t: Test, port: number): Promise<void> {
  const client = await dial(t, port)
  client.resume()
  await once(client, 'end')
  client.destroy()
}

/** Provokes more lines than any buffer takes, then shows that the proxy lives and ends well. */
async function survives(t: Test, running: Running & { port: number }): Promise<void> {
  for (let i = 0; i < 1500; i += 50) {
    await Promise.all(Array.from({ length: 50 }, () => fail(t, running.port)))
  }
  t.same(await stop(running), { code: 0, signal: null })
}

t.test('start, faults and stop as JSON lines, in the words of the original', async (t) => {
  const backend = await deadBackend(t)
  const running = await startProxy(t, backend)
  await fail(t, running.port)
  await stop(running)
  const lines = (await running.stderr)
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
  t.ok(lines.every(({ name, time }) => name === 'docker-proxy' && time <= Date.now()))
})

t.test('a file', async (t) => {
  const path = join(t.testdir(), 'log')
  const stderr = openSync(path, 'w')
  const running = await startProxy(t, await deadBackend(t), { stderr })
  closeSync(stderr)
  await survives(t, running)
  t.equal(readFileSync(path, 'utf8').split("Can't forward").length, 1501)
})

t.test('a full disk', async (t) => {
  const stderr = openSync('/dev/full', 'w')
  const running = await startProxy(t, await deadBackend(t), { stderr })
  closeSync(stderr)
  await survives(t, running)
})

t.test('a pipe that nobody reads', async (t) => {
  const fifo = makeFifo(t)
  const running = await startProxy(t, await deadBackend(t), { stderr: fifo.writeFd })
  await survives(t, running)
})

t.test('a pipe that is read again tells how much was lost', async (t) => {
  const fifo = makeFifo(t)
  writeSync(fifo.writeFd, 'x'.repeat(PIPE_CAPACITY))
  const backend = await deadBackend(t)
  const running = await startProxy(t, backend, { stderr: fifo.writeFd })
  await fail(t, running.port)
  await fail(t, running.port)
  const text = fifo.readAll()
  // The reader takes what is there; each line tried from then on finds room.
  const tries = (async () => {
    while (running.child.exitCode === null) await fail(t, running.port).catch(() => undefined)
  })()
  await new Promise((resolve) => setImmediate(resolve))
  await stop(running)
  await tries
  t.match(await text, /\d+ log lines lost: stderr could not be written/)
})

t.test('a pipe whose reader has gone', async (t) => {
  const fifo = makeFifo(t)
  const running = await startProxy(t, await deadBackend(t), { stderr: fifo.writeFd })
  fifo.closeRead()
  fifo.closeWrite()
  await survives(t, running)
})

t.test("a socket, as systemd's journal is, that nobody reads", async (t) => {
  const running = await startProxy(t, await deadBackend(t))
  // What spawn calls a pipe is a socket; nothing is taken from it while it is paused.
  running.child.stderr?.pause()
  await survives(t, running)
})

t.test('a socket whose reader has gone', async (t) => {
  const server: Server = createServer()
  t.teardown(() => server.close())
  const running = await startProxy(t, await deadBackend(t))
  running.stderr.catch(() => undefined)
  running.child.stderr?.destroy()
  await survives(t, running)
})

t.test('no stderr at all', async (t) => {
  const backend = await deadBackend(t)
  const args = ['-c', 'exec 2>&-; exec "$@"', 'sh', PROGRAM, ...proxyFlags(backend)]
  const running = await startProxyThrough(t, '/bin/sh', args)
  await survives(t, running)
})

t.test('on a terminal the lines are for people', async (t) => {
  const command = `timeout 20 ${PROGRAM} -host-ip 127.0.0.1 -host-port 0 -container-ip 127.0.0.1 -container-port 80 & pid=$!; read line; kill -INT $pid; wait $pid`
  t.ok(command)
  const output = execFileSync(
    'script',
    ['-qec', `${PROGRAM} -proto tcp -host-ip 127.0.0.1 -host-port 0 -container-port 0 & sleep 1; kill -INT $!; wait $!`, '/dev/null'],
    { env: testEnvironment(), encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  )
  t.match(output, /INFO.*Proxy listening on tcp\/127\.0\.0\.1:\d+/)
  t.match(output, /WARN.*-container-port 0 is not from 1 to 65535/)
  t.match(output, /INFO.*Proxy stopped/)
})

async function startProxyThrough(
  t: Test,
  program: string,
  args: string[],
): Promise<Running & { port: number }> {
  const { listeningPort } = await import('../lib/proc.js')
  const { READY, run } = await import('../lib/program.js')
  const running = run(t, args, { program })
  t.equal(await running.status, READY)
  return { ...running, port: listeningPort(running.pid) }
}
