import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fstatSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { NODE_OPTIONS } from '../linux/node-options.js'
import { errnoReason, isShortage } from '../linux/errno.js'
import { requireCheckedSyscalls } from '../linux/ffi/checked-syscalls.js'
import { bootId, processSockets } from '../linux/proc/process.js'
import type { Log } from '../log/log.js'
import type { StopOptions } from '../proxy/engine.js'
import { STATUS_FD } from '../proxy/inherited-descriptors.js'
import { ISOLATION_VARIABLE } from '../proxy/settings.js'
import { STATUS_SOCKET_VARIABLE } from '../status/status-socket.js'
import { killProcess, stopProcess, watchEnd } from './process-end.js'
import { identify } from '../linux/proc/process-identity.js'
import { ProxyStartError, readStatus } from './reported-status.js'
import { PORT_VARIABLE, RuntimeFiles, type RuntimeRecord } from './runtime-record.js'

/** A process that serves one port, or all ports of a publication. */
export interface ProxyProcess {
  readonly pid: number
  /** Resolves when the process has ended, with its exit status if known; above 128 it is a signal's number plus 128. */
  readonly exited: Promise<number | undefined>
  /** Ends the process, and waits until its ports are free. */
  stop(options?: StopOptions): Promise<void>
}

/** A process to start. */
export interface LaunchCommand {
  /** Names the process's files; never used twice. */
  readonly id: string
  readonly runFolder: string
  readonly program: string
  readonly args: readonly string[]
  /** Variables beside those of this process. */
  readonly env?: NodeJS.ProcessEnv
  /** Written to its stdin. */
  readonly input?: string
  /** The descriptor of its first listening socket; the others follow it. */
  readonly firstListenFd: number
}

/** Wait before trying again to end leftovers, milliseconds. */
const RETRY_MS = 500
/** Attempts to end leftovers while descriptors or memory are short: half a minute. */
const MAX_TRIES = 60

/** Waits for the proxy on our behalf, as the script itself explains. */
export const SHIM_NAME = 'docker-publish-shim'
const SHIM = fileURLToPath(new URL(SHIM_NAME, import.meta.url))

/**
 * Starts a process, and waits until it is ready.
 *
 * @param listenFds the listening sockets to hand over
 * Rejects with ProxyStartError. Then nothing of the process is left.
 */
export async function startProxyProcess(
  command: LaunchCommand,
  listenFds: readonly number[],
  log: Log,
): Promise<ProxyProcess> {
  const { id, runFolder } = command
  const files = new RuntimeFiles(runFolder, id)
  files.remove()
  const shim = spawnShim(command, files, listenFds)
  const shimExit = once(shim, 'exit')
  try {
    await once(shim, 'spawn')
    await readStatus(shim.stdio[STATUS_FD] as Readable, listenFds.length > 0)
    const [proxy, parent] = [files.proxy(), identify(shim.pid ?? 0)]
    if (!proxy || !parent)
      throw new ProxyStartError('docker-proxy ended as soon as it was ready', true)
    files.save({
      bootId: bootId(),
      proxy,
      shim: parent,
      socketInodes: listenFds.map((fd) => fstatSync(fd).ino),
    })
    // When the shim has ended, its proxy has ended as well, unless the shim was killed. Then nobody would notice the proxy's end, so it is
    // ended here.
    const exited = shimExit.then(() => endLeftoversEventually(runFolder, id, log))
    return {
      pid: proxy.pid,
      exited,
      stop: (options) => stopProcess(proxy, exited, files.socketPath, options),
    }
  } catch (err) {
    shimExit.catch(() => undefined)
    await endLeftoversEventually(runFolder, id, log)
    if (shim.pid !== undefined) await shimExit
    throw err
  }
}

/** A process that an earlier daemon has started, with our copies of its listening sockets. */
export interface AdoptedProxy {
  readonly process: ProxyProcess
  /** Empty if the kernel does not permit copying them. */
  readonly listenFds: readonly number[]
}

/** Adopts a process that still runs. @returns undefined if there is none that is certainly ours */
export function adoptProxyProcess(
  runFolder: string,
  id: string,
  log: Log,
): AdoptedProxy | undefined {
  const files = new RuntimeFiles(runFolder, id)
  const record = files.liveRecord()
  if (!record) return undefined
  const { proxy, socketInodes } = record
  const byInode = new Map([...processSockets(proxy.pid)].map(([fd, inode]) => [inode, fd]))
  const fds = socketInodes.map((inode) => byInode.get(inode))
  // Without the sockets that it was given, it can't be serving the ports.
  if (fds.includes(undefined)) return undefined
  const listenFds = copySockets(proxy.pid, fds as number[])
  return { process: adopt(record, files, runFolder, id, log), listenFds }
}

/** Adopts a process that another one has replaced. @returns undefined if it has ended */
export function adoptRetired(runFolder: string, id: string, log: Log): ProxyProcess | undefined {
  const files = new RuntimeFiles(runFolder, id)
  const record = files.liveRecord()
  if (record) return adopt(record, files, runFolder, id, log)
  void endLeftoversEventually(runFolder, id, log)
  return undefined
}

function adopt(
  { proxy, shim }: RuntimeRecord,
  files: RuntimeFiles,
  ...leftovers: Parameters<typeof endLeftoversEventually>
): ProxyProcess {
  const end = watchEnd(shim)
  const exited = end.ended.then(() => endLeftoversEventually(...leftovers))
  return {
    pid: proxy.pid,
    exited,
    stop(options) {
      end.lookClosely()
      return stopProcess(proxy, exited, files.socketPath, options)
    },
  }
}

/**
 * Ends a process that may still run for a port, and removes its files.
 * @returns the exit status that the shim has noted
 * Rejects with a system error if the files can't be read or removed. If they can be read, the process has ended nevertheless.
 */
export async function endLeftovers(runFolder: string, id: string): Promise<number | undefined> {
  const files = new RuntimeFiles(runFolder, id)
  const proxy = files.proxy()
  const status = files.exitStatus()
  try {
    // Removed before the proxy ends: its shim, if it still runs, then writes nothing more.
    files.remove()
  } finally {
    if (proxy) await killProcess(proxy)
  }
  return status
}

/** Ends leftovers, and tries again while descriptors or memory are short. Any other failure would repeat itself, and is logged. */
async function endLeftoversEventually(
  runFolder: string,
  id: string,
  log: Log,
): Promise<number | undefined> {
  for (let tries = 1; ; tries++) {
    try {
      return await endLeftovers(runFolder, id)
    } catch (err) {
      if (tries === MAX_TRIES || !isShortage(err)) {
        log.error(`Can't tidy up after a proxy in ${runFolder}: ${errnoReason(err)}`, { id })
        return undefined
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }
}

function spawnShim(
  { program, args, env, input, firstListenFd }: LaunchCommand,
  files: RuntimeFiles,
  listenFds: readonly number[],
): ChildProcess {
  const shim = spawn(SHIM, [files.base, program, ...args], {
    // In its own process group, so that Ctrl-C on our terminal reaches only us.
    detached: true,
    env: { ...proxyEnvironment(files), ...env },
    stdio: [
      ...([input === undefined ? 'ignore' : 'pipe', 'ignore', 'inherit', 'pipe'] as const),
      ...Array.from({ length: firstListenFd - STATUS_FD - 1 }, () => 'ignore' as const),
      ...listenFds,
    ],
  })
  shim.stdin?.on('error', () => undefined) // It has ended, and its status reports it.
  shim.stdin?.end(input)
  return shim
}

function proxyEnvironment({ base, socketPath }: RuntimeFiles): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, [PORT_VARIABLE]: base }
  // A docker-proxyd must not serve the port: the daemon decides which process does.
  env[ISOLATION_VARIABLE] = 'process'
  env[STATUS_SOCKET_VARIABLE] = socketPath
  // Node 20 reads these certificates at every start, which takes longer than everything else. A proxy does not need them.
  delete env['NODE_EXTRA_CA_CERTS']
  env['NODE_OPTIONS'] = NODE_OPTIONS
  return env
}

/** Copies all sockets, or none if that is not permitted, for example without root under Yama's ptrace_scope, see pidfd_getfd(2). */
function copySockets(pid: number, fds: readonly number[]): number[] {
  const syscalls = requireCheckedSyscalls()
  const copies: number[] = []
  let pidfd: number | undefined
  try {
    pidfd = syscalls.openPidFd(pid)
    for (const fd of fds) copies.push(syscalls.copyDescriptor(pidfd, fd))
    return copies
  } catch {
    for (const fd of copies) closeSync(fd)
    return []
  } finally {
    if (pidfd !== undefined) closeSync(pidfd)
  }
}
