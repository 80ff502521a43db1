import type { ChildProcess } from 'node:child_process'
import { howItEnded, output, startChild, stopChild, type Command } from './child.js'
import { loadProgram } from './places.js'
import { missingProgram } from './peer.js'
import { freePort } from './ports.js'
import { scratchPath, writeScratch } from './scratch.js'
import type { Site } from './site.js'

/** Stands for the container: answers HTTP, runs an iperf3 server, and echoes. */
export type Backend = 'http' | 'bulk' | 'udp' | 'echo'

const PROGRAMS: Partial<Record<Backend, [program: string, packageName: string]>> = {
  http: ['/usr/sbin/nginx', 'nginx-light'],
  bulk: ['/usr/bin/iperf3', 'iperf3'],
}

/** @returns why a backend can't run here, and what to do about it */
export function missingBackend(backend: Backend): string | undefined {
  const needed = PROGRAMS[backend]
  return needed && missingProgram(...needed)
}

/** How to start each backend, and how to check it, or a proxy before it, with one request. */
const KINDS: Record<Backend, { command(port: number): Command; check(port: number): Command }> = {
  http: {
    command: (port) => httpCommand('127.0.0.1', port),
    check: (port) => checkBy('http', port),
  },
  bulk: {
    command: (port) => ['/usr/bin/iperf3', '-s', '-B', '127.0.0.1', '-p', String(port)],
    check: (port) => checkBy('iperf3', port),
  },
  udp: {
    command: (port) => [process.execPath, loadProgram('udp'), 'echo', String(port)],
    check: (port) => checkBy('udp', port),
  },
  echo: {
    command: (port) => [process.execPath, loadProgram('fair'), 'backend', String(port)],
    check: (port) => checkBy('echo', port),
  },
}

function checkBy(kind: string, port: number, ...host: string[]): Command {
  return [process.execPath, loadProgram('check'), kind, String(port), ...host]
}

function httpCommand(ip: string, port: number): Command {
  return ['/usr/sbin/nginx', '-c', writeScratch(`http-${port}.conf`, httpServer(ip, port))]
}

/** Starts an HTTP server on an address of a site. */
export function startHttp(site: Site, ip: string, port: number): ChildProcess {
  return startChild(site.load(...httpCommand(ip, port)))
}

/** Waits until an HTTP server answers, or a proxy before it. */
export async function untilHttp(site: Site, ip: string, port: number): Promise<void> {
  await output(site.load(...checkBy('http', port, ip)))
}

/** An HTTP server with one worker that answers with one line. */
function httpServer(ip: string, port: number): string {
  return `master_process off;
daemon off;
worker_rlimit_nofile 65536;
pid ${scratchPath(`http-${port}.pid`)};
error_log /dev/null;
events { worker_connections 20000; multi_accept on; }
http {
  access_log off;
  keepalive_requests 1000000000;
  server { listen ${ip}:${port} backlog=4096; location / { return 200 "hello world\\n"; } }
}
`
}

/** The backends of a site. Each is started when it is first needed. */
export class Backends {
  readonly #running = new Map<Backend, Promise<{ port: number; child: ChildProcess }>>()

  constructor(private readonly site: Site) {}

  /**
   * Returns the port of a working backend.
   * @throws Error if it can't be started, or does not answer
   */
  async port(backend: Backend): Promise<number> {
    let running = this.#running.get(backend)
    if (!running) {
      running = freePort().then((port) => this.#start(backend, port))
      this.#running.set(backend, running)
    }
    const { port, child } = await running
    if (howItEnded(child)) await this.renew(backend)
    return port
  }

  /**
   * @param child the process that must answer, if it is a process
   * @throws Error if one request to this port is not answered as the backend would
   */
  async check(backend: Backend, port: number, child: ChildProcess | undefined): Promise<void> {
    const inVain = new AbortController()
    const abort = (): void => inVain.abort()
    child?.once('exit', abort)
    try {
      await output(this.site.load(...KINDS[backend].check(port)), { signal: inVain.signal })
    } finally {
      child?.off('exit', abort)
    }
  }

  /**
   * Restarts a backend on the same port.
   * @throws Error as `port`
   */
  async renew(backend: Backend): Promise<void> {
    const running = this.#running.get(backend)
    if (!running) return
    const { port, child } = await running
    await stopChild(child)
    const renewed = this.#start(backend, port)
    this.#running.set(backend, renewed)
    await renewed
  }

  async stop(): Promise<void> {
    for (const running of this.#running.values()) {
      await running.then(({ child }) => stopChild(child)).catch(() => undefined)
    }
  }

  async #start(backend: Backend, port: number): Promise<{ port: number; child: ChildProcess }> {
    const child = startChild(this.site.load(...KINDS[backend].command(port)))
    try {
      await this.check(backend, port, child)
    } catch (err) {
      const reason = howItEnded(child) ?? (err as Error).message
      await stopChild(child)
      throw new Error(`the backend for ${backend} does not work: ${reason}`, { cause: err })
    }
    return { port, child }
  }
}
