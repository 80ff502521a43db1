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
const KINDS: Record<Backend, { command(ip: string, port: number): Command; check: string }> = {
  http: {
    command: (ip, port) => [
      ...(['/usr/sbin/nginx', '-c'] as const),
      writeScratch(`http-${port}.conf`, httpServer(ip, port)),
    ],
    check: 'http',
  },
  bulk: {
    command: (ip, port) => ['/usr/bin/iperf3', '-s', '-B', ip, '-p', String(port)],
    check: 'iperf3',
  },
  udp: {
    command: (_, port) => [process.execPath, loadProgram('udp'), 'echo', String(port)],
    check: 'udp',
  },
  echo: {
    command: (_, port) => [process.execPath, loadProgram('fair'), 'backend', String(port)],
    check: 'echo',
  },
}

function checkCommand(backend: Backend, ip: string, port: number): Command {
  return [process.execPath, loadProgram('check'), KINDS[backend].check, String(port), ip]
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
      const { hostIp } = this.site
      await output(this.site.load(...checkCommand(backend, hostIp, port)), {
        signal: inVain.signal,
      })
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
    const { site } = this
    const child = startChild(site.backend(...KINDS[backend].command(site.containerIp, port)))
    try {
      // As a proxy connects to it.
      await output(site.proxy(...checkCommand(backend, site.containerIp, port)))
    } catch (err) {
      const reason = howItEnded(child) ?? (err as Error).message
      await stopChild(child)
      throw new Error(`the backend for ${backend} does not work: ${reason}`, { cause: err })
    }
    return { port, child }
  }
}
