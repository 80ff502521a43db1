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

/** A proxy holds two sockets for each connection, and needs some descriptors itself, the more the more cores there are. */
const COUNT = Math.min(10_000, Math.floor((descriptorLimit() - 440) / 2))
/** As many as wait in a backlog of the usual length without being dropped. */
const AT_A_TIME = 500

/** Descriptors that a proxy may have opened for other things than connections: its log, spare pipes. */
const FEW = 20

/** An echo server in a process of its own: this one has the clients' descriptors. */
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
      // Those that were idle meanwhile are served as well.
      const rest = await Promise.all(clients.slice(half).map((each, i) => ask(each, half + i)))
      t.same(rest, names.slice(half))
      await until(() => openDescriptors(target.serverOf(running.pid)) < idle + FEW)
      t.match(await stop(running), { code: 0 })
      t.notMatch(await target.logOf(running), 'Out of file descriptors')
    })
  }
}
