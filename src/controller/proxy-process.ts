import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fstatSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { deferred } from '../deferred.js'
import { requireLibc } from '../linux/libc.js'
import { bootId, socketsOf } from '../linux/process.js'
import {
  identify,
  isAlive,
  PORT_VARIABLE,
  RuntimeFiles,
  type ProcessIdentity,
} from './runtime-record.js'

/** A docker-proxy that serves one port. */
export interface ProxyProcess {
  readonly pid: number
  /** Resolves when it has ended, with its exit status where that is known; over 128 it is a signal's. */
  readonly exited: Promise<number | undefined>
  /** Ends it, and waits until its port is free. */
  stop(): Promise<void>
}

/** What to start. */
export interface ProxyCommand {
  /** The port's id, unique for good. */
  readonly id: string
  readonly runFolder: string
  readonly program: string
  readonly args: readonly string[]
}

/** As long as dockerd waits for the status, milliseconds. */
const READY_TIMEOUT_MS = 16_000
/** How long a proxy has to end after SIGTERM, milliseconds. */
const STOP_TIMEOUT_MS = 5_000
/** How often to look whether a process lives whose parent we are not, and when its end is near; milliseconds. */
const WATCH_MS = 500
const WATCH_CLOSELY_MS = 5

const READY = '0\n'

/** Waits for the proxy in our stead, and says in its own words how. */
const SHIM = fileURLToPath(new URL('docker-publish-shim', import.meta.url))

/**
 * Starts a proxy, and waits until it is ready.
 *
 * @param listenFd the listening socket, handed over as descriptor 4
 * Rejects with the text of its status pipe, or why there was none; nothing of it is left then.
 */
export async function startProxyProcess(
  { id, runFolder, program, args }: ProxyCommand,
  listenFd?: number,
): Promise<ProxyProcess> {
  const files = new RuntimeFiles(runFolder, id)
  files.remove()
  const shim = spawn(SHIM, [files.base, program, ...args], {
    // A group of its own: Ctrl-C on our terminal is for us alone.
    detached: true,
    env: proxyEnvironment(files),
    stdio: ['ignore', 'ignore', 'inherit', 'pipe', ...(listenFd === undefined ? [] : [listenFd])],
  })
  const shimExit = once(shim, 'exit')
  try {
    await once(shim, 'spawn')
    await readStatus(shim.stdio[3] as Readable)
    const [proxy, parent] = [files.proxy(), identify(shim.pid ?? 0)]
    if (!proxy || !parent) throw new Error('docker-proxy ended as soon as it was ready')
    files.save({
      bootId: bootId(),
      proxy,
      shim: parent,
      ...(listenFd === undefined ? {} : { socketInode: fstatSync(listenFd).ino }),
    })
    // With the shim its proxy has ended as well, unless it was the shim that was killed: then nobody would
    // learn of the proxy's end, so it ends now.
    const exited = shimExit.then(() => settle(runFolder, id))
    return { pid: proxy.pid, exited, stop: () => stop(proxy, exited) }
  } catch (err) {
    shimExit.catch(() => undefined)
    await endLeftovers(runFolder, id)
    if (shim.pid !== undefined) await shimExit
    files.remove()
    throw err
  }
}

/** A proxy that an earlier daemon started, with our copy of its listening socket. */
export interface AdoptedProxy {
  readonly process: ProxyProcess
  /** Undefined where the kernel would not let us have it. */
  readonly listenFd?: number
}

/** Takes over a proxy that is still running; undefined when there is none that is surely ours. */
export function adoptProxyProcess(runFolder: string, id: string): AdoptedProxy | undefined {
  const files = new RuntimeFiles(runFolder, id)
  const record = files.liveRecord()
  if (!record) return undefined
  const { proxy, shim, socketInode } = record
  let listenFd: number | undefined
  if (socketInode !== undefined) {
    const theirs = [...socketsOf(proxy.pid)].find(([, inode]) => inode === socketInode)?.[0]
    // Not the socket we gave it: it can't be serving the port.
    if (theirs === undefined) return undefined
    listenFd = takeSocket(proxy.pid, theirs)
  }
  const end = watchEnd(shim)
  const exited = end.ended.then(() => settle(runFolder, id))
  const stopAdopted = (): Promise<void> => {
    end.lookClosely()
    return stop(proxy, exited)
  }
  return {
    process: { pid: proxy.pid, exited, stop: stopAdopted },
    ...(listenFd === undefined ? {} : { listenFd }),
  }
}

/**
 * Ends what may still run for a port that is not to be adopted, and forgets it.
 * @returns the exit status that was noted
 */
export async function endLeftovers(runFolder: string, id: string): Promise<number | undefined> {
  const files = new RuntimeFiles(runFolder, id)
  const proxy = files.proxy()
  const status = files.exitStatus()
  // Before the end of the proxy: its shim, if there still is one, then writes nothing more.
  files.remove()
  if (proxy) await kill(proxy)
  return status
}

/** As endLeftovers, which may lack a descriptor to look with: then it is tried until it has one. */
async function settle(runFolder: string, id: string): Promise<number | undefined> {
  for (;;) {
    try {
      return await endLeftovers(runFolder, id)
    } catch {
      await new Promise((done) => setTimeout(done, WATCH_MS))
    }
  }
}

function proxyEnvironment({ base }: RuntimeFiles): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, [PORT_VARIABLE]: base }
  // Node 20 reads these certificates at every start, which takes longer than all else; a proxy has no use for them.
  delete env['NODE_EXTRA_CA_CERTS']
  return env
}

async function readStatus(pipe: Readable): Promise<void> {
  const timeout = setTimeout(() => {
    pipe.destroy(
      new Error(`docker-proxy did not say within ${READY_TIMEOUT_MS / 1000} s whether it is ready`),
    )
  }, READY_TIMEOUT_MS)
  let text = ''
  try {
    for await (const chunk of pipe) {
      text += (chunk as Buffer).toString()
      if (text === READY) return
    }
  } finally {
    clearTimeout(timeout)
    pipe.destroy()
  }
  const reason = text.replace(/^1\n/, '').trim()
  throw new Error(reason === '' ? 'docker-proxy ended before it was ready' : reason)
}

async function stop(proxy: ProcessIdentity, exited: Promise<unknown>): Promise<void> {
  signal(proxy, 'SIGTERM')
  const timeout = setTimeout(() => signal(proxy, 'SIGKILL'), STOP_TIMEOUT_MS)
  await exited
  clearTimeout(timeout)
}

function signal(proxy: ProcessIdentity, name: NodeJS.Signals): void {
  if (!isAlive(proxy)) return
  try {
    process.kill(proxy.pid, name)
  } catch {
    // Gone between the look and the signal.
  }
}

async function kill(proxy: ProcessIdentity): Promise<void> {
  signal(proxy, 'SIGKILL')
  const { ended, lookClosely } = watchEnd(proxy)
  lookClosely()
  await ended
}

/** Waits for the end of a process that is not our child: nothing tells us, so we look. */
function watchEnd(identity: ProcessIdentity): { ended: Promise<void>; lookClosely: () => void } {
  const { promise: ended, resolve } = deferred()
  const look = (): void => {
    if (isAlive(identity)) return
    clearInterval(timer)
    resolve()
  }
  let timer = setInterval(look, WATCH_MS)
  return {
    ended,
    lookClosely() {
      clearInterval(timer)
      timer = setInterval(look, WATCH_CLOSELY_MS)
    },
  }
}

/** Undefined where we may not, as without root under Yama's ptrace_scope, see pidfd_getfd(2). */
function takeSocket(pid: number, theirs: number): number | undefined {
  const libc = requireLibc()
  let pidfd: number | undefined
  try {
    pidfd = libc.openProcess(pid)
    return libc.takeDescriptor(pidfd, theirs)
  } catch {
    return undefined
  } finally {
    if (pidfd !== undefined) closeSync(pidfd)
  }
}
