import { readdirSync } from 'node:fs'
import type { Test } from 'tap'
import { freeRow } from './free-row.js'
import { openDescriptors } from './proc.js'
import { proxyFlags, READY, run, type Running } from './program.js'
import { startProxyd, type RunningProxyd } from './proxyd.js'
import { dial } from './sockets.js'
import { until } from './until.js'

/** A test has a limited number of consecutive ports, so several addresses are used. */
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
 * Publishes 200 ports, and waits until all are published.
 * @param folder run folder of a docker-proxyd
 */
export async function publishMany(
  t: Test,
  folder: string,
  backend: HostPort,
): Promise<Published[]> {
  const all = manyPorts()
  const published: Published[] = []
  // In groups, because each may be a process.
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

/** Waits until no process listens there. */
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

/** Ends all, half of them with SIGKILL, and checks that no process, port, descriptor or file is left. */
export async function endAll(
  t: Test,
  proxyd: RunningProxyd,
  published: readonly Published[],
): Promise<void> {
  for (const [i, { child }] of published.entries()) child.kill(i % 2 === 0 ? 'SIGKILL' : 'SIGINT')
  await Promise.all(published.map(({ exit }) => exit))
  await Promise.all(published.map((port) => untilFree(t, port)))
  const idle = await startProxyd(t)
  // Room for spare pipes, and for a thread that was busy.
  await until(() => openDescriptors(proxyd.pid) <= openDescriptors(idle.pid) + 8)
  t.strictSame(readdirSync(proxyd.folder).sort(), ['control', 'pid', 'server', 'socket'])
  proxyd.child.kill('SIGTERM')
  t.strictSame(await proxyd.exit, { code: 0, signal: null })
  t.strictSame(readdirSync(proxyd.folder), ['control'])
}
