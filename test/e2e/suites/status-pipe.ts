import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { makeFifo } from '../../lib/fifo.js'
import { openDescriptors } from '../../lib/proc.js'
import { notRoot, proxyFlags, READY, stop } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { until } from '../../lib/until.js'
import { exchange, startEcho } from '../../lib/sockets.js'

const NOBODY = 65_534

export function statusPipeSuite(t: Test, target: Target): void {
  t.test('a FIFO, as dockerd hands over', async (t) => {
    const fifo = makeFifo(t)
    const echo = await startEcho(t)
    const running = target.run(t, proxyFlags(echo), { status: fifo.writeFd })
    t.equal(await fifo.readAll(), READY)
    t.equal(await exchange(t, await target.portOf(running), 'hello'), 'hello')
    t.match(await stop(running), { code: 0 })
  })

  t.test('a FIFO learns of a failure', async (t) => {
    const fifo = makeFifo(t)
    const running = target.run(t, ['-proto', 'foo'], { status: fifo.writeFd })
    t.equal(await fifo.readAll(), '1\nunsupported protocol foo')
    t.match(await running.exit, { code: 1 })
  })

  t.test('a file', async (t) => {
    const path = join(t.testdir(), 'status')
    const fd = openSync(path, 'w')
    const running = target.run(t, ['-proto', 'foo'], { status: fd })
    closeSync(fd)
    await running.exit
    t.equal(readFileSync(path, 'utf8'), '1\nunsupported protocol foo')
  })

  const skip = notRoot('to become another user')
  t.test('a FIFO of another user can be written to', { skip }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'docker-proxy-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    chmodSync(folder, 0o755)
    const program = join(folder, 'docker-proxy')
    copyFileSync(target.program, program)
    const fifo = makeFifo(t)
    const running = target.run(t, ['-proto', 'foo'], { program, status: fifo.writeFd, uid: NOBODY })
    t.equal(await fifo.readAll(), '1\nunsupported protocol foo')
    t.match(await running.exit, { code: 1 })
  })

  t.test('a full pipe is waited for, while connections are served', async (t) => {
    const fifo = makeFifo(t)
    fifo.fill()
    const echo = await startEcho(t)
    const running = target.run(t, proxyFlags(echo), { status: fifo.writeFd })
    t.equal(await exchange(t, await target.untilListening(running), 'served'), 'served')
    t.ok((await fifo.readAll()).endsWith('x' + READY))
    await stop(running)
  })

  t.test('while a pipe is full, a signal ends it nevertheless', async (t) => {
    const fifo = makeFifo(t)
    fifo.fill()
    const echo = await startEcho(t)
    const running = target.run(t, proxyFlags(echo), { status: fifo.writeFd })
    const port = await target.untilListening(running)
    t.equal(await exchange(t, port, 'served'), 'served')
    running.child.kill('SIGINT')
    await running.exit
    // docker-proxyd notices the end of a launcher a moment later.
    await until(() =>
      exchange(t, port, 'x').then(
        () => false,
        (err: unknown) => (err as NodeJS.ErrnoException).code === 'ECONNREFUSED',
      ),
    )
  })

  t.test('an unread status pipe does not stop the proxy', async (t) => {
    const fifo = makeFifo(t)
    fifo.closeRead()
    const echo = await startEcho(t)
    const running = target.run(t, proxyFlags(echo), { status: fifo.writeFd })
    t.equal(await exchange(t, await target.untilListening(running), 'served'), 'served')
    await stop(running)
    // A launcher has no log.
    if (target.isShared) return
    t.match(
      await running.stderr,
      /Can't tell the parent that the port is ready: nobody reads the status pipe/,
    )
  })

  t.test('run by hand there is none, and errors are on stderr', async (t) => {
    const echo = await startEcho(t)
    for (let attempt = 0; attempt < 3; attempt++) {
      const running = target.run(t, proxyFlags(echo), { status: 'ignore' })
      t.equal(await exchange(t, await target.untilListening(running), 'by hand'), 'by hand')
      t.match(await stop(running), { code: 0 })
    }
    const taken = await target.startProxy(t, echo)
    const running = target.run(t, proxyFlags(echo, { port: taken.port }), { status: 'ignore' })
    const address = `127.0.0.1:${taken.port}`
    t.equal(
      await running.stderr,
      `failed to listen on ${address}: listen tcp4 ${address}: bind: address already in use\n`,
    )
    t.match(await running.exit, { code: 1 })
  })

  t.test('really by hand: a shell that has no descriptor 3 at all', async (t) => {
    const echo = await startEcho(t)
    const script = 'exec 3>&-; exec "$@"'
    const running = target.run(
      t,
      ['-c', script, 'sh', './dist/docker-proxy', ...proxyFlags(echo)],
      {
        program: '/bin/sh',
        status: 'ignore',
      },
    )
    t.equal(await exchange(t, await target.untilListening(running), 'by hand'), 'by hand')
    t.match(await stop(running), { code: 0 })
  })

  t.test('the status pipe is closed after use', async (t) => {
    const echo = await startEcho(t)
    const running = await target.startProxy(t, echo)
    const before = openDescriptors(target.serverOf(running.pid))
    t.equal(await exchange(t, running.port, 'one'), 'one')
    t.ok(openDescriptors(target.serverOf(running.pid)) <= before + 2)
    await stop(running)
  })
}
