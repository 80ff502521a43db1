import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { execa } from 'execa'
import type { Test } from 'tap'
import { until } from './until.js'
import { PROGRAM, proxyFlags, READY, run, type Running, type RunOptions } from './program.js'

/** A network namespace with an own loopback interface. It ends with the test. Needs root. */
export interface Namespace {
  readonly pid: number
  /** Runs commands of sh in it. */
  sh(script: string): Promise<void>
  /** Runs a script of Node in it. @returns its output */
  node(script: string, ...args: string[]): Promise<string>
  /** Waits until a UDP socket is bound to the port. */
  untilUdpBound(port: number): Promise<void>
  /** Waits until a TCP socket listens on the port. */
  untilListening(port: number): Promise<void>
  /** Starts the built drop-in in it, and waits until it listens. */
  startProxy(
    backend: { ip: string; port: number },
    host: { ip?: string; port: number },
    options?: RunOptions & { protocol?: string },
  ): Promise<Running>
}

export async function startNamespace(t: Test): Promise<Namespace> {
  // Duplicate address detection would take seconds.
  const setup =
    'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; ip link set lo up; echo up; read -r _'
  const holder = spawn('unshare', ['--net', 'sh', '-c', setup], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exit = once(holder, 'exit')
  t.teardown(async () => {
    holder.kill('SIGKILL')
    await exit
  })
  await once(holder.stdout, 'data')
  const pid = holder.pid ?? 0
  const enter = ['--net', `--target=${pid}`, '--']
  return {
    pid,
    async sh(script) {
      await execa('nsenter', [...enter, 'sh', '-ec', script])
    },
    async node(script, ...args) {
      const child = execa('nsenter', [...enter, process.execPath, '-e', script, ...args])
      t.teardown(() => void child.kill('SIGKILL'))
      return (await child).stdout
    },
    untilUdpBound: (port) => untilInTable(pid, ['udp', 'udp6'], port),
    untilListening: (port) => untilInTable(pid, ['tcp', 'tcp6'], port),
    async startProxy(backend, host, { protocol = 'tcp', ...options } = {}) {
      const flags = [...proxyFlags(backend, host), '-proto', protocol]
      const command = [...enter, PROGRAM, ...flags]
      const running = run(t, command, { ...options, program: 'nsenter' })
      const status = await running.status
      if (status !== READY) throw new Error(`docker-proxy is not ready: ${status}`)
      return running
    },
  }
}

/** Waits until a port is in a table of sockets of the process's namespace, see proc(5). */
async function untilInTable(pid: number, tables: readonly string[], port: number): Promise<void> {
  const name = `:${port.toString(16).toUpperCase().padStart(4, '0')} `
  const paths = tables.map((table) => `/proc/${pid}/net/${table}`)
  await until(() => paths.some((path) => readFileSync(path, 'utf8').includes(name)))
}

/** Connects two namespaces: `a` has the interface NAME0, `b` has NAME1. */
export async function connectNamespaces(a: Namespace, b: Namespace, name: string): Promise<void> {
  await a.sh(`ip link add ${name}0 type veth peer name ${name}1 netns ${b.pid}`)
  await a.sh(`ip link set ${name}0 up`)
  await b.sh(`ip link set ${name}1 up`)
}

/** A host between a client and a container, each a namespace. */
export interface HostBetween {
  readonly client: Namespace
  readonly host: Namespace
  readonly container: Namespace
}

/** Connects three namespaces: client, `c1` ── `c0`, host, `b0` ── `b1`, container. The test gives them addresses. */
export async function startHostBetween(t: Test): Promise<HostBetween> {
  const [client, host, container] = [
    await startNamespace(t),
    await startNamespace(t),
    await startNamespace(t),
  ]
  await connectNamespaces(host, client, 'c')
  await connectNamespaces(host, container, 'b')
  return { client, host, container }
}
