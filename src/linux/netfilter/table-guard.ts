import { spawn, type ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { errnoReason } from '../errno.js'
import { processCommand, processIds } from '../proc/process.js'
import { firewallEnvironment } from './command.js'

/** Time before a guard that has ended is replaced, milliseconds. */
const RESTART_MS = 1_000

/** Time that the guard of an earlier process has to end, milliseconds, and time between two looks. */
const END_MS = 5_000
const LOOK_MS = 20
/** The name of a guard in lists of processes. */
const NAME = 'docker-publish-guard'

/**
 * Waits for the end of stdin, which is the end of its parent, and then runs nft with the commands in argument 1. After a line on stdin it
 * ends, and nft does not run.
 */
const SCRIPT = `trap '' HUP INT TERM
read -r line && exit
printf %s "$1" | nft -f -`

/** A process that runs commands of nft when this process ends, also by SIGKILL. */
export class TableGuard {
  #child: ChildProcess | undefined
  #restart: NodeJS.Timeout | undefined
  #isWanted = false

  /**
   * @param commands for `nft -f -`
   * @param onFailure called when there is no guard at present, with one clause
   */
  constructor(
    private readonly commands: string,
    private readonly onFailure: (reason: string) => void,
  ) {}

  /** Waits until the guard of an earlier process has done its work. Never rejects, and takes five seconds at most. */
  async untilOthersEnded(): Promise<void> {
    const deadline = Date.now() + END_MS
    const isGuard = (pid: number): boolean => {
      const [name, commands] = processCommand(pid)?.slice(-2) ?? []
      return name === NAME && commands === this.commands && pid !== this.#child?.pid
    }
    while (Date.now() < deadline && processIds().some(isGuard)) await delay(LOOK_MS)
  }

  /** May be called again. A guard that can't start is tried again. */
  start(): void {
    this.#isWanted = true
    if (this.#child || this.#restart) return
    try {
      const child: ChildProcess = spawn('sh', ['-c', SCRIPT, NAME, this.commands], {
        cwd: '/',
        env: firewallEnvironment(),
        stdio: ['pipe', 'ignore', 'ignore'],
        // A signal to the process group of its parent does not concern it.
        detached: true,
      })
      child
        .once('error', (err) => this.#ended(child, errnoReason(err)))
        .once('exit', () => this.#ended(child, 'it was ended'))
      // Without a free descriptor there is no stream.
      child.stdin?.on('error', () => undefined)
      child.unref()
      this.#child = child
    } catch (err) {
      this.#ended(undefined, errnoReason(err))
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

  #ended(child: ChildProcess | undefined, reason: string): void {
    // Another one may have been started since.
    if (this.#child !== child) return
    this.#child = undefined
    if (!this.#isWanted || this.#restart) return
    this.onFailure(`the guard of the firewall's rules does not run: ${reason}`)
    this.#restart = setTimeout(() => {
      this.#restart = undefined
      this.start()
    }, RESTART_MS).unref()
  }
}
