import type { Test } from 'tap'
import type { EngineNamespace } from './engine-namespace.js'
import { missingForDockerd, startOwnDockerd } from './own-dockerd.js'
import { missingForPodman, startOwnPodman } from './own-podman.js'
import type { TestDaemon } from './publish.js'

/** A container engine in namespaces of its own, with the image IMAGE. */
export interface OwnEngine extends Pick<EngineNamespace, 'ask' | 'enter' | 'pid' | 'startClients'> {
  readonly name: 'docker' | 'podman'
  readonly version: string
  /** The network of containers that name none. */
  readonly defaultNetwork: string
  /** Options of run and create that each container needs here. */
  readonly limits: readonly string[]
  /** Runs the engine's command. */
  readonly command: (...args: string[]) => Promise<string>
  /** Removes containers at once. */
  readonly remove: (...names: string[]) => Promise<void>
  /** Starts docker-publish daemon there, which follows this engine. */
  startDaemon(...args: string[]): Promise<TestDaemon>
  /** As `startDaemon`, by a command that becomes the daemon. */
  startDaemonThrough(through: readonly string[], ...args: string[]): Promise<TestDaemon>
  /** Ends the engine. Containers go on if it is Podman, or a dockerd that was started with --live-restore. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Starts it again after `kill`. */
  restart(): Promise<void>
}

/** The environment's ENGINE chooses, for the same tests with another engine. */
const { ENGINE: choice = 'docker' } = process.env
if (choice !== 'docker' && choice !== 'podman') {
  throw new Error(`ENGINE is ${JSON.stringify(choice)}: expected docker or podman`)
}
const isPodman = choice === 'podman'

export const missingForEngine = isPodman ? missingForPodman : missingForDockerd

/** Starts it. Everything of it ends with the test. @param options for dockerd */
export function startOwnEngine(t: Test, ...options: string[]): Promise<OwnEngine> {
  return isPodman ? startOwnPodman(t) : startOwnDockerd(t, ...options)
}
