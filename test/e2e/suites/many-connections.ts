import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { descriptorLimit } from '../../../src/linux/proc/descriptors.js'
import { openDescriptors } from '../../lib/proc.js'
import { inCleanEnvironment, stop } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { dial, readAll } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

/** A proxy has two sockets per connection, and needs some descriptors itself: more on more cores. */
const COUNT = Math.min(10_000, Math.floor((descriptorLimit() - 440) / 2))
/** Connections that fit into a usual backlog at once. */
const AT_A_TIME = 500

/** Descriptors of a proxy that are not connections: its log, spare pipes. */
const FEW = 20

/** An echo server in its own process, because this process has the clients' descriptors. */
async function startEchoProcess(t: Test): Promise<{ ip: string; port: number }> {
  const script = `require('net').createServer({ allowHalfOpen: true }, (s) => s.on('error', () => 0).pipe(s))
    .listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, function () { console.log(this.address().port) })`
  const child = spawn(...inCleanEnvironment(process.execPath, ['-e', script]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  return { ip: '127.0.0.1', port: Number(line) }
}

export function manyConnectionsSuite(t: Test, target: Target): void {
  for (const engine of target.engines) {
    t.test(`${COUNT} connections at once on ${engine}, half of them idle`, async (t) => {
      const echo = await startEchoProcess(t)
      const running = await target.startProxy(t, echo, { env: { DOCKER_PROXY_ENGINE: engine } })
      const idle = openDescriptors(target.serverOf(running.pid))
      const clients: Socket[] = []
      while (clients.length < COUNT) {
        const length = Math.min(AT_A_TIME, COUNT - clients.length)
        clients.push(...(await Promise.all(Array.from({ length }, () => dial(t, running.port)))))
      }
      await until(() => openDescriptors(target.serverOf(running.pid)) >= idle + 2 * COUNT)

      const ask = async (each: Socket, i: number): Promise<string> => {
        each.end(`client ${i}`)
        return readAll(each)
      }
      const half = Math.floor(COUNT / 2)
      const names = clients.map((_, i) => `client ${i}`)
      const first = await Promise.all(clients.slice(0, half).map(ask))
      t.same(first, names.slice(0, half))
      // The connections that were idle are served as well.
      const rest = await Promise.all(clients.slice(half).map((each, i) => ask(each, half + i)))
      t.same(rest, names.slice(half))
      await until(() => openDescriptors(target.serverOf(running.pid)) < idle + FEW)
      t.match(await stop(running), { code: 0 })
      t.notMatch(await target.logOf(running), 'Out of file descriptors')
    })
  }
}
