import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { output, privateMemory, processorSeconds, startChild, stopChild } from './child.js'
import { median } from './statistics.js'

/** What one round has brought, by figure. */
export type Figures = Record<string, number>

export interface Scenario {
  readonly name: string
  readonly title: string
  readonly backend: 'http' | 'iperf' | 'udp' | 'hold' | 'fair'
  /** Memory is told by a process that has just been started. */
  readonly isFresh?: true
  /** Names of figures, the first is the one that counts; more is better, but for those that end in `↓`. */
  readonly units: Record<string, string>
  run(port: number, proxy: ChildProcess, seconds: number): Promise<Figures>
}

const CONNECTIONS = 64
const MICROSECONDS = { us: 1, ms: 1000, s: 1_000_000 }
const GIB = 2 ** 30

async function wrk(
  port: number,
  seconds: number,
  headers: string[] = [],
  connections = CONNECTIONS,
) {
  const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency']
  const url = `http://127.0.0.1:${port}/`
  const text = await output('wrk', [...options, ...headers.flatMap((h) => ['-H', h]), url])
  const [, p99 = '', unit = 'us'] = /99%\s+([\d.]+)(us|ms|s)/.exec(text) ?? []
  return {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
    count: Number(/(\d+) requests in/.exec(text)?.[1]),
    p99: Number(p99) * MICROSECONDS[unit as keyof typeof MICROSECONDS],
  }
}

async function iperf(port: number, seconds: number, options: readonly string[]) {
  const text = await output('iperf3', [
    ...['-c', '127.0.0.1', '-p', String(port), '-t', String(seconds), '-J'],
    ...options,
  ])
  const { end } = JSON.parse(text) as {
    end: { sum_received?: { bits_per_second: number; bytes: number } }
  }
  return {
    rate: (end.sum_received?.bits_per_second ?? NaN) / 1e9,
    bytes: end.sum_received?.bytes ?? NaN,
  }
}

/** The processor's time that the proxy takes meanwhile, seconds. */
async function withProcessorTime<T>(proxy: ChildProcess, work: Promise<T>): Promise<[T, number]> {
  const before = processorSeconds(proxy.pid ?? 0)
  const result = await work
  return [result, processorSeconds(proxy.pid ?? 0) - before]
}

const http = (name: string, title: string, headers: string[]): Scenario => ({
  name,
  title,
  backend: 'http',
  units: { rate: 'requests/s', 'p99↓': 'µs', 'cpu↓': 'µs/request' },
  async run(port, proxy, seconds) {
    const [{ rate, p99, count }, cpu] = await withProcessorTime(proxy, wrk(port, seconds, headers))
    return { rate, 'p99↓': p99, 'cpu↓': (cpu / count) * 1e6 }
  },
})

const bulk = (name: string, title: string, options: readonly string[]): Scenario => ({
  name,
  title,
  backend: 'iperf',
  units: { rate: 'Gbit/s', 'cpu↓': 's/GiB' },
  async run(port, proxy, seconds) {
    const [{ rate, bytes }, cpu] = await withProcessorTime(proxy, iperf(port, seconds, options))
    return { rate, 'cpu↓': cpu / (bytes / GIB) }
  },
})

export const SCENARIOS: readonly Scenario[] = [
  http('keepalive', `HTTP keep-alive, ${CONNECTIONS} connections`, []),
  http('close', `a connection for each request, ${CONNECTIONS} at a time`, ['Connection: close']),
  bulk('bulk1', 'bulk, one stream to the container', ['-P1']),
  bulk('bulk1r', 'bulk, one stream from the container', ['-P1', '-R']),
  bulk('bulk8', 'bulk, eight streams to the container', ['-P8']),
  bulk('bulk8r', 'bulk, eight streams from the container', ['-P8', '-R']),
  {
    name: 'udp',
    title: 'UDP, 512 bytes echoed, 16 clients with 8 datagrams under way each',
    backend: 'udp',
    units: { rate: 'datagrams/s', 'lost↓': 'datagrams', 'cpu↓': 'µs/datagram' },
    async run(port, proxy, seconds) {
      const load = output(process.execPath, [
        ...[bundled('udp'), 'load', String(port), String(seconds), '16', '8'],
      ])
      const [text, cpu] = await withProcessorTime(proxy, load)
      const { rate, received, lost } = JSON.parse(text) as Record<string, number>
      return { rate: rate ?? NaN, 'lost↓': lost ?? NaN, 'cpu↓': (cpu / (received ?? NaN)) * 1e6 }
    },
  },
  {
    name: 'idle',
    title: 'memory of an idle connection',
    backend: 'hold',
    isFresh: true,
    units: { 'private↓': 'bytes' },
    async run(port, proxy) {
      const pid = proxy.pid ?? 0
      // What a proxy needs for its first connections it needs once.
      const first = await openMany(port, 100)
      const before = privateMemory(pid)
      // Docker's proxy takes six descriptors for each: two sockets, and a pipe each way.
      const count = 3_000
      const sockets = await openMany(port, count)
      await new Promise((done) => setTimeout(done, 500))
      const grown = privateMemory(pid) - before
      for (const socket of [...first, ...sockets]) socket.destroy()
      await new Promise((done) => setTimeout(done, 500))
      return { 'private↓': grown / count }
    },
  },
  {
    name: 'fair',
    title: 'small messages beside a bulk stream, 8 connections in turn',
    backend: 'fair',
    units: { 'p99↓': 'µs', 'p50↓': 'µs' },
    async run(port, _, seconds) {
      const bulk = startChild(process.execPath, [bundled('fair'), 'bulk', String(port)])
      const sockets = await openMany(port, 8)
      const times: number[] = []
      for (const end = performance.now() + seconds * 1000; performance.now() < end;) {
        for (const socket of sockets) {
          const start = performance.now()
          socket.write('ping')
          await once(socket, 'data')
          times.push((performance.now() - start) * 1000)
        }
      }
      await stopChild(bulk)
      for (const socket of sockets) socket.destroy()
      times.sort((a, b) => a - b)
      return { 'p99↓': times[Math.floor(times.length * 0.99)] ?? NaN, 'p50↓': median(times) }
    },
  },
]

/** A program of this folder, as the script that runs benchmarks has built it. */
export function bundled(name: string): string {
  return join(process.env['BENCH_BUNDLES'] ?? '', `${name}.js`)
}

async function openMany(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const opened = Array.from({ length: Math.min(200, count - sockets.length) }, async () => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true })
      await once(socket, 'connect')
      socket.on('error', () => undefined)
      return socket
    })
    sockets.push(...(await Promise.all(opened)))
  }
  return sockets
}
