import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readlinkSync,
  statSync,
  writeSync,
} from 'node:fs'
import { constants as os } from 'node:os'
import { basename } from 'node:path'
import { isSameFile, type FileId } from '../linux/descriptors.js'
import { errnoCode } from '../linux/errno.js'
import { requireLibc } from '../linux/libc.js'
import {
  ignoresSignal,
  processCommand,
  processIds,
  processVariables,
  sharesNetwork,
} from '../linux/process.js'
import { parseFlags, portOfFlags } from '../proxy/flags.js'
import type { PublishedPort } from '../proxy/published-port.js'
import { readPortSettings, SETTING_VARIABLES, type Settings } from '../proxy/settings.js'

/** Descriptors of the launcher script. */
const STDERR_FD = 2
const STATUS_FD = 3
const LISTEN_FD = 4
const ANSWER_FD = 7
const CONTROL_FD = 9
/** What it is told to end by. */
const STOP_SIGNALS = [os.signals.SIGINT, os.signals.SIGTERM]

const NAME = 'docker-proxy'
const CONTROL_NAME = 'control'
/** Where in its command line the script may stand: behind the shell, or behind `busybox ash`. */
const SCRIPT_PLACES = [1, 2]

/** When a launcher is woken so that no signal waits, milliseconds after it was told that all is ready, and after that. */
const NUDGES = [200, 2_800]

/** Why a process is not taken for a launcher. */
export class NotALauncherError extends Error {
  override readonly name = 'NotALauncherError'
}

/** It has ended. */
export class LauncherGoneError extends NotALauncherError {
  constructor() {
    super('there is no such process')
  }
}

/** A process that has handed its port over, and waits for what becomes of it. */
export class Launcher {
  #nudge: NodeJS.Timeout | undefined
  #hasListenFd = false

  private constructor(
    readonly pid: number,
    /** As it was called, and its flags. */
    readonly command: readonly [path: string, ...args: string[]],
    /** Readable when the process has ended, see pidfd_open(2). */
    readonly pidfd: number,
  ) {}

  /**
   * @param control the control pipe, which it must have open
   * @throws NotALauncherError when this is no launcher of our user's; Error when that can't be told, as without a descriptor left
   */
  static open(pid: number, control: FileId): Launcher {
    let pidfd: number
    try {
      pidfd = requireLibc().openProcess(pid)
    } catch (err) {
      if (errnoCode(err) !== 'ESRCH') throw err
      throw new LauncherGoneError()
    }
    // From here on the number is this process's, or nobody's.
    try {
      if (statSync(`/proc/${pid}`).uid !== process.geteuid?.()) {
        throw new NotALauncherError("it is another user's")
      }
      if (!holdsControlPipe(pid, control)) {
        // One that ends gives up its memory, and its command with it, before its descriptors.
        if (processCommand(pid) === undefined) throw new LauncherGoneError()
        throw new NotALauncherError('it does not have the control pipe open')
      }
      const command = processCommand(pid)
      if (!command) throw new LauncherGoneError()
      const script = SCRIPT_PLACES.find((place) => basename(command[place] ?? '') === NAME)
      if (script === undefined) throw new NotALauncherError(`it is no ${NAME}`)
      const [path = NAME, ...args] = command.slice(script)
      return new Launcher(pid, [path, ...args], pidfd)
    } catch (err) {
      closeSync(pidfd)
      if (['ENOENT', 'ESRCH'].includes(errnoCode(err) ?? '')) {
        throw new LauncherGoneError()
      }
      throw err
    }
  }

  /** Why the port can't be served by another process than its own; undefined where it can. @throws SystemError where that can't be told */
  whyNotShared(): string | undefined {
    if (!sharesNetwork(this.pid)) return 'it is in another network'
    if (!ignoresSignal(this.pid, STOP_SIGNALS)) return undefined
    return 'it was started with SIGINT or SIGTERM ignored, which a shell can not undo'
  }

  /** Whether whoever started it waits to be told how that went. */
  get isWaitedFor(): boolean {
    return existsSync(`/proc/${this.pid}/fd/${STATUS_FD}`)
  }

  /**
   * Those of its port: what it was started with, and else ours.
   * @throws SettingError
   */
  settings(ours: Settings): Settings {
    const own = processVariables(this.pid, SETTING_VARIABLES)
    return readPortSettings(own, `/proc/${this.pid}`, ours)
  }

  /** The port that it was started for; undefined where it is the program's to answer: help, versions, bad flags. */
  publishedPort(): PublishedPort | undefined {
    const [, ...args] = this.command
    try {
      const flags = parseFlags(args)
      this.#hasListenFd = flags.useListenFd
      return flags.version ? undefined : portOfFlags(flags)
    } catch {
      return undefined
    }
  }

  /**
   * A copy of the listening socket that was handed to it for its port; undefined where none was.
   * @throws SystemError where it is missing, or we may not take it
   */
  takeListenFd(): number | undefined {
    return this.#hasListenFd ? requireLibc().takeDescriptor(this.pidfd, LISTEN_FD) : undefined
  }

  /** The port is published. */
  ready(): void {
    this.#answer('ready')
    this.#nudgeAfter(0)
  }

  /**
   * It can't be, and the launcher is to end.
   * @param reason for whoever started it
   * @param complaint for stderr
   */
  failed(exitCode: number, reason: string, complaint: string): void {
    const line = oneLine(complaint)
    this.#answer(`failed ${exitCode} ${oneLine(reason)}\n${this.#complain(line) ? '' : line}`)
  }

  /** It is to end. */
  exit(exitCode: number): void {
    if (this.#answer(`exit ${exitCode}`)) return
    // Without a descriptor left to say it with, it would wait for ever.
    this.#signal(os.signals.SIGKILL)
  }

  /** It is to see to it by itself. */
  become(): void {
    this.#answer('become')
  }

  close(): void {
    clearTimeout(this.#nudge)
    closeSync(this.pidfd)
  }

  /** @returns whether it has heard it; it may have ended, which its pidfd tells */
  #answer(text: string): boolean {
    clearTimeout(this.#nudge)
    try {
      this.#write(ANSWER_FD, text)
      return true
    } catch {
      return false
    }
  }

  #signal(signal: number): void {
    try {
      requireLibc().signalProcess(this.pidfd, signal)
    } catch {
      // It has ended, which its pidfd tells.
    }
  }

  /** Writes to its stderr where that is a pipe, since one that nobody reads would hold up a shell. @returns whether that is done */
  #complain(line: string): boolean {
    try {
      if (!statSync(`/proc/${this.pid}/fd/${STDERR_FD}`).isFIFO()) return false
      this.#write(STDERR_FD, line)
      return true
    } catch (err) {
      // Where it is full, nobody wants it.
      return errnoCode(err) === 'EAGAIN'
    }
  }

  /** Writes a line to a pipe of its. @throws SystemError */
  #write(pipe: number, line: string): void {
    const path = `/proc/${this.pid}/fd/${pipe}`
    const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
    try {
      // The number may be another's by now: then this throws.
      requireLibc().signalProcess(this.pidfd, 0)
      writeSync(fd, `${line}\n`)
    } finally {
      closeSync(fd)
    }
  }

  /** @param turn one of NUDGES, and then the next */
  #nudgeAfter(turn: number): void {
    const delay = NUDGES[turn]
    if (delay === undefined) return
    this.#nudge = setTimeout(() => {
      this.#nudgeAfter(turn + 1)
      this.#signal(os.signals.SIGUSR1)
    }, delay).unref()
  }
}

/** Launchers that wait for a docker-proxyd of this control pipe. */
export function waitingLaunchers(control: FileId): number[] {
  return processIds().filter((pid) => holdsControlPipe(pid, control))
}

/** By what it is: in another mount namespace another pipe may have that name. */
function holdsControlPipe(pid: number, control: FileId): boolean {
  const path = `/proc/${pid}/fd/${CONTROL_FD}`
  try {
    // A look at what it is may take its time, where it is a file of another machine's.
    return basename(readlinkSync(path)) === CONTROL_NAME && isSameFile(statSync(path), control)
  } catch {
    return false // It has ended, or is not ours to look at, or has no such descriptor.
  }
}

function oneLine(text: string): string {
  return text.replaceAll('\n', ' ')
}
