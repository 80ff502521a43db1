import { spawn, type ChildProcess } from 'node:child_process'
import { firewallEnvironment } from './command.js'

/** Time before a guard that has ended is replaced, milliseconds. */
const RESTART_MS = 1_000

/**
 * Waits for the end of stdin, which is the end of its parent, and then runs nft with the commands in argument 1. A line on stdin ends it
 * without.
 */
const SCRIPT = `trap '' HUP INT TERM
read -r line && exit
printf %s "$1" | nft -f -`

/** A process that runs commands of nft when this process ends, also by SIGKILL. */
export class TableGuard {
  #child: ChildProcess | undefined
  #restart: NodeJS.Timeout | undefined
  #isWanted = false

  /** @param commands for `nft -f -` */
  constructor(private readonly commands: string) {}

  /** May be called again. A guard that can't start is tried again. */
  start(): void {
    this.#isWanted = true
    if (this.#child || this.#restart) return
    try {
      const child: ChildProcess = spawn(
        'sh',
        ['-c', SCRIPT, 'docker-publish-guard', this.commands],
        {
          cwd: '/',
          env: firewallEnvironment(),
          stdio: ['pipe', 'ignore', 'ignore'],
          // A signal to the process group of its parent does not concern it.
          detached: true,
        },
      )
      child.once('error', () => this.#ended()).once('exit', () => this.#ended())
      // Without a free descriptor there is no stream.
      child.stdin?.on('error', () => undefined)
      child.unref()
      this.#child = child
    } catch {
      this.#ended()
    }
  }

  /** Ends the guard. The commands do not run. May be called again. */
  stop(): void {
    this.#isWanted = false
    clearTimeout(this.#restart)
    this.#restart = undefined
    this.#child?.stdin?.end('end\n')
    this.#child = undefined
  }

  #ended(): void {
    this.#child = undefined
    if (!this.#isWanted || this.#restart) return
    this.#restart = setTimeout(() => {
      this.#restart = undefined
      this.start()
    }, RESTART_MS).unref()
  }
}
