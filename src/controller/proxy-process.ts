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

/** A process that serves a port, or all of a publication. */
export interface ProxyProcess {
  readonly pid: number
  /** Resolves when it has ended, with its exit status where that is known; over 128 it is a signal's. */
  readonly exited: Promise<number | undefined>
  /** Ends it, and waits until its port is free. */
  stop(): Promise<void>
}

/** What to start. */
export interface ProxyCommand {
  /** Names its files, unique for good. */
  readonly id: string
  readonly runFolder: string
  readonly program: string
  readonly args: readonly string[]
  /** What it is given on stdin. */
  readonly input?: string
  /** The descriptor that its first listening socket has, the others following it. */
  readonly firstListenFd: number
}

/** As long as dockerd waits for the status, milliseconds. */
const READY_TIMEOUT_MS = 16_000
/** How long a proxy has to end after SIGTERM, milliseconds. */
const STOP_TIMEOUT_MS = 5_000
/** How often to look whether a process lives whose parent we are not, and when its end is near; milliseconds. */
const WATCH_MS = 500
const WATCH_CLOSELY_MS = 5

const READY = '0\n'
const STATUS_FD = 3

/** Waits for the proxy in our stead, and says in its own words how. */
const SHIM = fileURLToPath(new URL('docker-publish-shim', import.meta.url))

/**
 * Starts a proxy, and waits until it is ready.
 *
 * @param listenFds the listening sockets to hand over
 * Rejects with the text of its status pipe, or why there was none; nothing of it is left then.
 */
export async function startProxyProcess(
  { id, runFolder, program, args, input, firstListenFd }: ProxyCommand,
  listenFds: readonly number[],
): Promise<ProxyProcess> {
  const files = new RuntimeFiles(runFolder, id)
  files.remove()
  const shim = spawn(SHIM, [files.base, program, ...args], {
    // A group of its own: Ctrl-C on our terminal is for us alone.
    detached: true,
    env: proxyEnvironment(files),
    stdio: [
      ...([input === undefined ? 'ignore' : 'pipe', 'ignore', 'inherit', 'pipe'] as const),
      ...Array.from({ length: firstListenFd - STATUS_FD - 1 }, () => 'ignore' as const),
      ...listenFds,
    ],
  })
  shim.stdin?.on('error', () => undefined) // It has ended, which its status tells.
  shim.stdin?.end(input)
  const shimExit = once(shim, 'exit')
  try {
    await once(shim, 'spawn')
    await readStatus(shim.stdio[STATUS_FD] as Readable)
    const [proxy, parent] = [files.proxy(), identify(shim.pid ?? 0)]
    if (!proxy || !parent) throw new Error('docker-proxy ended as soon as it was ready')
    files.save({
      bootId: bootId(),
      proxy,
      shim: parent,
      socketInodes: listenFds.map((fd) => fstatSync(fd).ino),
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

/** A proxy that an earlier daemon started, with our copies of its listening sockets. */
export interface AdoptedProxy {
  readonly process: ProxyProcess
  /** None where the kernel would not let us have them. */
  readonly listenFds: readonly number[]
}

/** Takes over a proxy that is still running; undefined when there is none that is surely ours. */
export function adoptProxyProcess(runFolder: string, id: string): AdoptedProxy | undefined {
  const files = new RuntimeFiles(runFolder, id)
  const record = files.liveRecord()
  if (!record) return undefined
  const { proxy, shim, socketInodes } = record
  const byInode = new Map([...socketsOf(proxy.pid)].map(([fd, inode]) => [inode, fd]))
  const theirs = socketInodes.map((inode) => byInode.get(inode))
  // Not the sockets we gave it: it can't be serving the ports.
  if (theirs.includes(undefined)) return undefined
  const listenFds = takeSockets(proxy.pid, theirs as number[])
  const end = watchEnd(shim)
  const exited = end.ended.then(() => settle(runFolder, id))
  const stopAdopted = (): Promise<void> => {
    end.lookClosely()
    return stop(proxy, exited)
  }
  return { process: { pid: proxy.pid, exited, stop: stopAdopted }, listenFds }
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
  // Not one that a docker-proxyd serves: the daemon sees to what serves its ports.
  env['DOCKER_PROXY_ISOLATION'] = 'process'
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

/** All of them, or none where we may not, as without root under Yama's ptrace_scope, see pidfd_getfd(2). */
function takeSockets(pid: number, theirs: readonly number[]): number[] {
  const libc = requireLibc()
  const taken: number[] = []
  let pidfd: number | undefined
  try {
    pidfd = libc.openProcess(pid)
    for (const fd of theirs) taken.push(libc.takeDescriptor(pidfd, fd))
    return taken
  } catch {
    for (const fd of taken) closeSync(fd)
    return []
  } finally {
    if (pidfd !== undefined) closeSync(pidfd)
  }
}
