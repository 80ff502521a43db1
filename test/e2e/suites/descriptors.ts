import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { openDescriptors } from '../../lib/proc.js'
import { proxyFlags, READY, stop } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { assertReleased } from '../../lib/released.js'
import { dial, exchange, readAll, startBackend } from '../../lib/sockets.js'

export function descriptorsSuite(t: Test, target: Target): void {
  /** A shell command that sets the hard and the soft limit (Node raises the soft to the hard one) and becomes docker-proxy. */
  const limited = (limit: number, args: string[]): string[] => [
    '-c',
    `ulimit -n ${limit}; exec "$@"`,
    'sh',
    target.program,
    ...args,
  ]

  t.test('out of descriptors it says so once, waits, and goes on as they free up', async (t) => {
    const accepted: Socket[] = []
    const backend = await startBackend(t, (socket) => {
      accepted.push(socket)
      socket.pipe(socket)
    })
    const args = limited(64, proxyFlags(backend))
    const running = target.run(t, args, { program: '/bin/sh' })
    t.equal(await running.status, READY)
    const port = await target.portOf(running)
    const idle = openDescriptors(target.serverOf(running.pid))

    let stderr = ''
    const reported = new Promise<void>((resolve) => {
      running.child.stderr?.on('data', (chunk: Buffer) => {
        stderr += chunk.toString()
        if (stderr.includes('Out of file descriptors')) resolve()
      })
    })
    const count = 100
    const clients = await Promise.all(Array.from({ length: count }, () => dial(t, port)))
    await reported
    // All are connected, most of them only to the backlog.
    t.ok(accepted.length < count / 2)
    t.ok(openDescriptors(target.serverOf(running.pid)) < 64)
    // Accepted clients are served while the others wait.
    const [first, ...rest] = clients
    first?.end('first')
    t.equal(await readAll(first as Socket), 'first')
    // When one ends, the next is accepted, and no data is lost.
    rest.forEach((client, i) => client.end(`client ${i}`))
    const answers = await Promise.all(rest.map((client) => readAll(client)))
    t.same(
      answers,
      rest.map((_, i) => `client ${i}`),
    )
    t.equal(accepted.length, count)
    t.equal(await exchange(t, port, 'afterwards'), 'afterwards')

    t.match(await stop(running), { code: 0 })
    t.ok(idle < 64)
    const shortages = stderr.split('\n').filter((line) => line.includes('Out of file descriptors'))
    t.equal(shortages.length, 1)
    t.match(JSON.parse(shortages[0] ?? ''), {
      level: 40,
      msg: 'Out of file descriptors: new connections wait until others end',
    })
  })

  t.test('bulk at the limit: pipes take no descriptor from connections', async (t) => {
    const size = 2 * 1024 * 1024
    const backend = await startBackend(t, (socket) => {
      let received = 0
      socket.on('data', (chunk) => (received += chunk.length))
      socket.on('end', () => socket.end(String(received)))
    })
    const running = target.run(t, limited(64, proxyFlags(backend)), { program: '/bin/sh' })
    t.equal(await running.status, READY)
    const port = await target.portOf(running)
    const clients = await Promise.all(Array.from({ length: 60 }, () => dial(t, port)))
    for (const client of clients) client.end(Buffer.alloc(size))
    const answers = await Promise.all(clients.map((client) => readAll(client)))
    t.same(new Set(answers), new Set([String(size)]))
    await stop(running)
    t.notMatch(await running.stderr, "Can't forward")
  })

  t.test('stopped while clients wait, it lets go of the port', async (t) => {
    const backend = await startBackend(t, () => undefined)
    const running = target.run(t, limited(64, proxyFlags(backend)), { program: '/bin/sh' })
    t.equal(await running.status, READY)
    const port = await target.portOf(running)
    const reported = once(running.child.stderr as NodeJS.ReadableStream, 'data')
    const clients = await Promise.all(Array.from({ length: 60 }, () => dial(t, port)))
    await reported
    t.match(await stop(running), { code: 0 })
    await assertReleased(t, port)
    t.equal(clients.length, 60)
  })

  // A docker-proxyd with so few refuses to start.
  const skip = target.isShared
  t.test('with too few descriptors a port is refused, and not silent', { skip }, async (t) => {
    const backend = await startBackend(t, (socket) => socket.pipe(socket))
    for (let limit = 14; limit <= 34; limit++) {
      const running = target.run(t, limited(limit, proxyFlags(backend)), { program: '/bin/sh' })
      const status = await running.status
      if (status === READY) {
        const port = await target.portOf(running)
        t.equal(await exchange(t, port, 'works'), 'works', `works with ${limit}`)
        t.match(await stop(running), { code: 0 })
      } else {
        const { code, signal } = await running.exit
        t.ok(code !== 0 || signal !== null, `fails with ${limit}`)
        t.match(status, /^1\n.*too many open files/, `says so with ${limit}`)
      }
    }
  })

  t.test('a limit that leaves room for next to nothing', { skip }, async (t) => {
    const backend = await startBackend(t, (socket) => socket.pipe(socket))
    const roomy = await target.startProxy(t, backend)
    const idle = openDescriptors(target.serverOf(roomy.pid))
    // With fewer, the program may refuse to start: it opens files for a moment, and their number is not always the same.
    for (const spare of [8, 10, 14]) {
      const running = target.run(t, limited(idle + spare, proxyFlags(backend)), {
        program: '/bin/sh',
      })
      t.equal(await running.status, READY, `starts with ${spare} to spare`)
      const port = await target.portOf(running)
      const clients = await Promise.all(Array.from({ length: 20 }, () => dial(t, port)))
      for (const client of clients) client.destroy()
      t.equal(running.child.exitCode, null, `lives with ${spare} to spare`)
      t.match(await stop(running), { code: 0 })
    }
  })
}
