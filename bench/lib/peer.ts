import { spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Site } from './site.js'

type Protocol = 'tcp' | 'udp'

/** From where to where a proxy is to forward. */
export interface Forward {
  readonly protocol: Protocol
  readonly port: number
  readonly backendPort: number
}

/** A proxy to be measured, or what stands in for one. */
export interface Peer {
  readonly name: string
  /** How it is run here, in a few words. */
  readonly how: string
  readonly protocols: readonly Protocol[]
  /** Whether it is this project's. */
  readonly isOurs?: true
  /** Whether it is no proxy, and the load goes to the backend's own port. */
  readonly isBackend?: true
  /** Whether the kernel does it, and no process. */
  readonly isKernel?: true
  /** With more at once than so many it is not measured. */
  readonly maxConnections?: number
  /** Whether it has processes that stay, and that it starts again when they end. */
  readonly hasWorkers?: true
  /** Whether it tells on descriptor 3 when it is ready, as dockerd wants it. */
  readonly hasStatusPipe?: true
  /** What it is, with its version. */
  readonly version: () => string
  /** The docker-proxy that a dockerd can be pointed at, and the environment that it hands on. */
  readonly underDockerd?: () => { readonly path: string; readonly env: NodeJS.ProcessEnv }
  /** A process that its own are served by, where there is one that all of them share. */
  readonly server?: () => number | undefined
  /** How that has ended, where it has. */
  readonly serverEnded?: () => string | undefined
  /** Why it can't be measured here, and what to do about it. */
  readonly missing: () => string | undefined
  /** Where it forwards; the machine itself but for what needs a network of its own. */
  readonly openSite?: () => Promise<Site>
  /**
   * Starts to forward.
   * @returns the process; none where there is none, as with the kernel's own ways
   */
  readonly start: (forward: Forward, site: Site) => ChildProcess | undefined
}

/** @returns why a program of a Debian package is not there */
export function missingProgram(program: string, packageName: string): string | undefined {
  return existsSync(program)
    ? undefined
    : `${program} is missing: install ${packageName} (apt-get install ${packageName})`
}

/** The first thing that looks like a version in what a program prints about itself, on whichever output, with whichever status. */
export function versionOf(program: string, ...args: string[]): string {
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  return /\d+\.\d+(\.\d+)*[\w.+~-]*/.exec(`${stdout}${stderr}`)?.[0] ?? 'of unknown version'
}

/** One that others' processes serve forwards as one of them does: HTTP shows that, and the rest would be measured twice. */
export const hasOwnEngine = ({ server }: Peer): boolean => server === undefined
