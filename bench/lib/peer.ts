import { spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { NetworkPath } from './network-path.js'
import type { Site } from './site.js'

type Protocol = 'tcp' | 'udp'

/** The port that a proxy listens on, and its backend. */
export interface Forward {
  readonly protocol: Protocol
  readonly port: number
  readonly backendPort: number
}

/** A proxy to measure, or a substitute for one. */
export interface Peer {
  readonly name: string
  /** How it runs here, in a few words. */
  readonly how: string
  readonly protocols: readonly Protocol[]
  /** Whether it belongs to this project. */
  readonly isOurs?: true
  /** Whether it is no proxy: the load connects to the backend's own port. */
  readonly isBackend?: true
  /** Whether the kernel forwards, without a process. */
  readonly isKernel?: true
  /** The highest number of connections that it is measured with. */
  readonly maxConnections?: number
  /** Whether it has permanent worker processes, which it restarts when they end. */
  readonly hasWorkers?: true
  /** Whether it reports on descriptor 3 that it is ready, as dockerd requires. */
  readonly hasStatusPipe?: true
  /** Its name and version. */
  readonly version: () => string
  /** The docker-proxy that a dockerd can use, and the environment that dockerd passes on. */
  readonly underDockerd?: () => { readonly path: string; readonly env: NodeJS.ProcessEnv }
  /** The process that serves all of its ports, if there is one. */
  readonly server?: () => number | undefined
  /** How that process has ended, if it has. */
  readonly serverEnded?: () => string | undefined
  /** Why it can't be measured here, and what to do about it. */
  readonly missing: () => string | undefined
  /** Where it forwards, if it needs something of its own. @param shared the site of all others, which stays open longer */
  readonly openSite?: (path: NetworkPath, shared: Site) => Promise<Site>
  /**
   * Starts forwarding.
   * @returns the process; undefined if the kernel forwards
   */
  readonly start: (forward: Forward, site: Site) => ChildProcess | undefined
}

/** @returns why a program of a Debian package is missing */
export function missingProgram(program: string, packageName: string): string | undefined {
  return existsSync(program)
    ? undefined
    : `${program} is missing: install ${packageName} (apt-get install ${packageName})`
}

/** Time that a program has to tell its version, milliseconds. */
const VERSION_MS = 2_000

/** The first version number in what a program prints about itself, on stdout or stderr, with any status. */
export function versionOf(program: string, ...args: string[]): string {
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: VERSION_MS })
  return /\d+\.\d+(\.\d+)*[\w.+~-]*/.exec(`${stdout}${stderr}`)?.[0] ?? 'of unknown version'
}

/** A peer whose ports another process serves is measured with HTTP alone: all else would measure that process twice. */
export const hasOwnEngine = ({ server }: Peer): boolean => server === undefined
