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
import { errnoCode } from '../linux/errno.js'
import { requireCheckedSyscalls } from '../linux/ffi/checked-syscalls.js'
import { MSG } from '../linux/ffi/constants.js'
import { requireFfi } from '../linux/ffi/ffi.js'
import { requireSyscalls } from '../linux/ffi/syscalls.js'
import { descriptorPath, isSameFile, type FileId } from '../linux/proc/descriptors.js'
import {
  ignoresSignal,
  inOurNetwork,
  processCommand,
  processIds,
  processParent,
  processUserId,
  processVariableNames,
  processVariables,
} from '../linux/proc/process.js'
import { parseFlags, publishedPortOf } from '../proxy/flags.js'
import { LISTEN_FD, STATUS_FD, STATUS_READY } from '../proxy/inherited-descriptors.js'
import { parseProxyCommand, PROXY_NAME } from '../proxy/proxy-command.js'
import type { PublishedPort } from '../proxy/published-port.js'
import {
  refuseUnknownVariables,
  SETTING_PREFIX,
  SETTING_VARIABLES,
  type Settings,
} from '../proxy/settings.js'
import { CONTROL_FD, REPLY_FD } from './launcher-descriptors.js'
import { readLauncherSettings } from './launcher-settings.js'
import { CONTROL_NAME } from './run-folder.js'

const STDERR_FD = 2
/** The signals that end a launcher. */
const STOP_SIGNALS = [os.signals.SIGINT, os.signals.SIGTERM]

/**
 * Delays after which a launcher is woken, milliseconds. The first one starts with the reply that the port is ready, each other one after the
 * one before. A shell notices a signal that came just before its read only when the read ends.
 */
const WAKE_DELAYS_MS = [200, 2_800]

/** A process that is not a launcher of ours. */
export class NotALauncherError extends Error {
  override readonly name = 'NotALauncherError'
}

/** The process has ended. */
export class LauncherGoneError extends NotALauncherError {
  constructor() {
    super('there is no such process')
  }
}

/** A process that has handed its port over, and lives as long as the port. */
export class Launcher {
  #wakeTimer: NodeJS.Timeout | undefined
  /** Our end of the pipe of replies, open as long as the port is served: the launcher notices when this process ends. */
  #replyFd: number | undefined
  #hasListenFd = false

  private constructor(
    readonly pid: number,
    private readonly args: readonly string[],
    /** Readable when the process has ended, see pidfd_open(2). */
    readonly pidfd: number,
  ) {}

  /**
   * @param control the control pipe, which the launcher must have open
   * @throws NotALauncherError if this is not a launcher of our user; Error if the process can't be inspected, for example without a free
   *   descriptor
   */
  static open(pid: number, control: FileId): Launcher {
    let pidfd: number
    try {
      pidfd = requireCheckedSyscalls().openPidFd(pid)
    } catch (err) {
      if (errnoCode(err) !== 'ESRCH') throw err
      throw new LauncherGoneError()
    }
    // The pidfd refers to this process from here on, even if its number is used again.
    try {
      return new Launcher(pid, identifyLauncher(pid, control), pidfd)
    } catch (err) {
      closeSync(pidfd)
      if (['ENOENT', 'ESRCH'].includes(errnoCode(err) ?? '')) throw new LauncherGoneError()
      throw err
    }
  }

  /** Why only the launcher's own process can serve the port; undefined if docker-proxyd can. @throws SystemError if this can't be determined */
  whyNotShared(): string | undefined {
    if (!inOurNetwork(this.pid)) return 'the launcher is in another network namespace'
    if (!ignoresSignal(this.pid, STOP_SIGNALS)) return undefined
    return 'the launcher was started with SIGINT or SIGTERM ignored, and a shell cannot undo this'
  }

  /** Whether its parent waits for the status pipe. */
  get isWaitedFor(): boolean {
    return existsSync(descriptorPath(this.pid, STATUS_FD))
  }

  /**
   * The settings of its port: its own, or docker-proxyd's where it has none.
   * @throws SettingError
   */
  settings(ours: Settings): Settings {
    refuseUnknownVariables(processVariableNames(this.pid, SETTING_PREFIX))
    const own = processVariables(this.pid, SETTING_VARIABLES)
    return readLauncherSettings(own, this.pid, ours)
  }

  /** The port that it was started for; undefined if the program has to answer: for help, the version, and invalid flags. */
  publishedPort(): PublishedPort | undefined {
    try {
      const flags = parseFlags(this.args)
      this.#hasListenFd = flags.useListenFd
      return flags.version ? undefined : publishedPortOf(flags)
    } catch {
      return undefined
    }
  }

  /**
   * Copies the listening socket that the launcher's parent has handed over.
   * @returns undefined if there is none
   * @throws SystemError if it is missing, or copying is not permitted
   */
  copyListenFd(): number | undefined {
    if (!this.#hasListenFd) return undefined
    return requireCheckedSyscalls().copyDescriptor(this.pidfd, LISTEN_FD)
  }

  /** Tells the launcher and its parent that the port is published. */
  tellReady(): void {
    // A shell that writes to a full pipe notices no signal. It writes only if this process can't.
    const isTold = !this.isWaitedFor || this.#writeStatus(STATUS_READY)
    this.#reply(
      `${isTold ? 'told' : 'ready'}${this.#keepReplyPipe() ? ` watch ${process.pid}` : ''}`,
    )
    this.#wakeLater(0)
  }

  /**
   * Tells the launcher that the port can't be published. The launcher ends.
   * @param reason for the launcher's parent
   * @param complaint for stderr
   */
  tellFailed(exitCode: number, reason: string, complaint: string): void {
    const line = oneLine(complaint)
    // Nobody reads a full pipe.
    const isDone = this.#writeIfPipe(STDERR_FD, `${line}\n`) !== 'impossible'
    this.#reply(`failed ${exitCode} ${oneLine(reason)}\n${isDone ? '' : line}`)
  }

  /** Tells the launcher to end. */
  tellToExit(exitCode: number): void {
    if (this.#reply(`exit ${exitCode}`)) return
    // Without a descriptor for the reply, it would wait for ever.
    this.#signal(os.signals.SIGKILL)
  }

  /** Tells the launcher to serve its port itself. */
  tellToServe(): void {
    this.#reply('become')
  }

  /** Leaves the launcher to another docker-proxyd, which keeps the pipe of replies open as well. */
  leave(): void {
    clearTimeout(this.#wakeTimer)
    if (this.#replyFd !== undefined) closeSync(this.#replyFd)
    this.#replyFd = undefined
  }

  close(): void {
    this.leave()
    closeSync(this.pidfd)
  }

  /** @returns whether the reply was written; if the launcher has ended, its pidfd reports it */
  #reply(text: string): boolean {
    clearTimeout(this.#wakeTimer)
    try {
      if (this.#replyFd === undefined) this.#write(REPLY_FD, `${text}\n`)
      else writeSync(this.#replyFd, `${text}\n`)
      return true
    } catch {
      return false
    }
  }

  /** @returns whether the launcher may rely on the pipe's end */
  #keepReplyPipe(): boolean {
    try {
      this.#replyFd ??= this.#openPipe(REPLY_FD)
      return true
    } catch {
      return false
    }
  }

  #signal(signal: number): void {
    try {
      requireCheckedSyscalls().signalProcess(this.pidfd, signal)
    } catch {
      // It has ended, and its pidfd reports it.
    }
  }

  /** Writes to its status pipe, without waiting. @returns whether it was written */
  #writeStatus(text: string): boolean {
    const result = this.#writeIfPipe(STATUS_FD, text)
    return result === 'written' || (result === 'impossible' && this.#sendStatus(text))
  }

  /** The same for a socket, which can't be opened by its path. Node gives its child processes sockets. */
  #sendStatus(text: string): boolean {
    let fd: number | undefined
    try {
      fd = requireCheckedSyscalls().copyDescriptor(this.pidfd, STATUS_FD)
      const bytes = Buffer.from(text)
      const flags = MSG.DONTWAIT | MSG.NOSIGNAL
      return requireSyscalls().send(fd, requireFfi().addressOf(bytes), bytes.length, flags) > 0
    } catch {
      return false // The kernel does not let this process copy it.
    } finally {
      if (fd !== undefined) closeSync(fd)
    }
  }

  /** Writes to one of its descriptors if that is a pipe, which would block a shell while it is full. */
  #writeIfPipe(pipe: number, text: string): 'written' | 'full' | 'impossible' {
    try {
      if (!statSync(descriptorPath(this.pid, pipe)).isFIFO()) return 'impossible'
      this.#write(pipe, text)
      return 'written'
    } catch (err) {
      return errnoCode(err) === 'EAGAIN' ? 'full' : 'impossible'
    }
  }

  /** Writes to one of its pipes, without waiting. @throws SystemError */
  #write(pipe: number, text: string): void {
    const fd = this.#openPipe(pipe)
    try {
      writeSync(fd, text)
    } finally {
      closeSync(fd)
    }
  }

  /** Opens one of its pipes for writing. @throws SystemError */
  #openPipe(pipe: number): number {
    const fd = openSync(descriptorPath(this.pid, pipe), constants.O_WRONLY | constants.O_NONBLOCK)
    try {
      // Throws if the process has ended: then the number may belong to another one.
      requireCheckedSyscalls().signalProcess(this.pidfd, 0)
      return fd
    } catch (err) {
      closeSync(fd)
      throw err
    }
  }

  /** @param turn index in WAKE_DELAYS_MS; the later ones follow */
  #wakeLater(turn: number): void {
    const delay = WAKE_DELAYS_MS[turn]
    if (delay === undefined) return
    this.#wakeTimer = setTimeout(() => {
      this.#wakeLater(turn + 1)
      this.#signal(os.signals.SIGUSR1)
    }, delay).unref()
  }
}

/**
 * All processes that have this control pipe open: launchers with and without a reply. A launcher that forks has a child with the same
 * descriptors and the same command line for a moment.
 */
export function launchersOf(control: FileId): number[] {
  const holders = new Set(processIds().filter((pid) => holdsControlPipe(pid, control)))
  return [...holders].filter((pid) => !holders.has(processParent(pid) ?? 0))
}

/** @returns the flags of a launcher @throws NotALauncherError; SystemError `ENOENT`, `ESRCH` if it has ended */
function identifyLauncher(pid: number, control: FileId): readonly string[] {
  if (processUserId(pid) !== process.geteuid?.()) {
    throw new NotALauncherError('the sender belongs to another user')
  }
  if (!holdsControlPipe(pid, control)) {
    // A process that ends loses its memory, and with it its command line, before its descriptors.
    if (processCommand(pid) === undefined) throw new LauncherGoneError()
    throw new NotALauncherError('the sender does not have the control pipe open')
  }
  const command = processCommand(pid)
  if (!command) throw new LauncherGoneError()
  const launcher = parseProxyCommand(command)
  if (!launcher) throw new NotALauncherError(`the sender is not a ${PROXY_NAME}`)
  return launcher.args
}

/** Compares the file, not its path: in another mount namespace another pipe may have that path. */
function holdsControlPipe(pid: number, control: FileId): boolean {
  const path = descriptorPath(pid, CONTROL_FD)
  try {
    // The name first: stat may take long for a file on another machine.
    return basename(readlinkSync(path)) === CONTROL_NAME && isSameFile(statSync(path), control)
  } catch {
    return false // It has ended, or belongs to another user, or has no such descriptor.
  }
}

function oneLine(text: string): string {
  return text.replaceAll('\n', ' ')
}
