import { readdirSync } from 'node:fs'
import type { Test } from 'tap'
import { freeRow } from './free-row.js'
import { openDescriptors } from './proc.js'
import { proxyFlags, READY, run, type Running } from './program.js'
import { startProxyd, type RunningProxyd } from './proxyd.js'
import { dial } from './sockets.js'
import { until } from './until.js'

/** A test may have so many ports in a row, so it takes those of several addresses. */
const HOSTS = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5']
const PORTS_OF_A_HOST = 40

export interface HostPort {
  readonly ip: string
  readonly port: number
}

/** A docker-proxy and its port. */
export interface Published extends HostPort, Running {}

/** 200 ports that are free. */
export function manyPorts(): HostPort[] {
  const first = freeRow(PORTS_OF_A_HOST)
  return HOSTS.flatMap((ip) =>
    Array.from({ length: PORTS_OF_A_HOST }, (_, i) => ({ ip, port: first + i })),
  )
}

/**
 * Publishes 200 ports, and waits until all of them are.
 * @param folder in which a docker-proxyd may be found
 */
export async function publishMany(
  t: Test,
  folder: string,
  backend: HostPort,
): Promise<Published[]> {
  const all = manyPorts()
  const published: Published[] = []
  // Not all at once, where each is a process.
  for (let i = 0; i < all.length; i += PORTS_OF_A_HOST) {
    const some = all.slice(i, i + PORTS_OF_A_HOST)
    published.push(...(await Promise.all(some.map((port) => publish(t, folder, backend, port)))))
  }
  return published
}

export async function publish(
  t: Test,
  folder: string,
  backend: HostPort,
  port: HostPort,
): Promise<Published> {
  const running = run(t, proxyFlags(backend, port), { env: { DOCKER_PROXY_RUN_DIR: folder } })
  const status = await running.status
  if (status !== READY) throw new Error(`docker-proxy is not ready: ${status}`)
  return { ...port, ...running }
}

/** Waits until nobody listens there. */
export async function untilFree(t: Test, { ip, port }: HostPort): Promise<void> {
  await until(async () => {
    try {
      const socket = await dial(t, port, ip)
      socket.destroy()
      return false
    } catch {
      return true
    }
  })
}

/** Ends all, some with a signal and some hard, and sees that nothing of them stays: no process, port, descriptor or file. */
export async function endAll(
  t: Test,
  proxyd: RunningProxyd,
  published: readonly Published[],
): Promise<void> {
  for (const [i, { child }] of published.entries()) child.kill(i % 2 === 0 ? 'SIGKILL' : 'SIGINT')
  await Promise.all(published.map(({ exit }) => exit))
  await Promise.all(published.map((port) => untilFree(t, port)))
  const idle = await startProxyd(t)
  // Spare pipes, and a thread that was busy.
  await until(() => openDescriptors(proxyd.pid) <= openDescriptors(idle.pid) + 8)
  t.strictSame(readdirSync(proxyd.folder).sort(), ['control', 'pid', 'socket'])
  proxyd.child.kill('SIGTERM')
  t.strictSame(await proxyd.exit, { code: 0, signal: null })
  t.strictSame(readdirSync(proxyd.folder), ['control'])
}
