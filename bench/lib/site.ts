import { startReady, stopChild, type Command } from './child.js'
import { allowedCores, divideCores, onCores } from './cores.js'
import { HOST_VARIABLE } from './load-host.js'

/** The networks of load, proxy and backend, and the cores of each. */
export interface Site {
  /** Where a proxy listens, and the load connects. */
  readonly hostIp: string
  /** Where a backend listens. */
  readonly containerIp: string
  /** The command that runs a proxy. */
  proxy(...command: Command): Command
  /** The command that runs a load generator. */
  load(...command: Command): Command
  /** The command that runs a backend. */
  backend(...command: Command): Command
  close(): Promise<void>
}

/** What stands before each command. */
interface Prefixes {
  readonly proxy: readonly string[]
  readonly load: readonly string[]
  readonly backend: readonly string[]
}

const cores = divideCores(allowedCores())
const LOOPBACK = '127.0.0.1'

/** A site of several networks. */
export function siteOf(
  before: Prefixes,
  hostIp: string,
  containerIp: string,
  close: () => Promise<void>,
): Site {
  return {
    hostIp,
    containerIp,
    proxy: (...command) => after([...before.proxy, ...onCores(cores?.proxy)], command),
    load: (...command) =>
      after([...before.load, ...onCores(cores?.load), ...host(hostIp)], command),
    backend: (...command) =>
      after([...before.backend, ...onCores(cores?.load), ...host(containerIp)], command),
    close,
  }
}

function host(ip: string): string[] {
  return ip === LOOPBACK ? [] : ['env', `${HOST_VARIABLE}=${ip}`]
}

function after(prefix: readonly string[], command: Command): Command {
  const [first = '', ...rest] = [...prefix, ...command]
  return [first, ...rest]
}

function everywhere(prefix: readonly string[], close: () => Promise<void>): Site {
  return siteOf({ proxy: prefix, load: prefix, backend: prefix }, LOOPBACK, LOOPBACK, close)
}

/** The loopback interface of this machine. */
export const MACHINE: Site = everywhere([], () => Promise.resolve())

/** A network namespace. */
export interface Namespace {
  /** A process in it. */
  readonly pid: number
  /** What stands before a command that runs in it. */
  readonly prefix: readonly string[]
  /** Removes it. */
  readonly close: () => Promise<void>
}

/**
 * Makes a network namespace with nothing but a loopback interface.
 * @throws Error for users other than root
 */
export async function openNamespace(): Promise<Namespace> {
  const script = 'ip link set lo up && echo ready && read -r end'
  const keeper = await startReady(
    ['unshare', '--net', 'sh', '-c', script],
    'a network namespace can not be made here: run the benchmark as root',
  )
  const { pid = 0 } = keeper
  return {
    pid,
    prefix: ['nsenter', `--net=/proc/${pid}/ns/net`, '--'],
    close: () => stopChild(keeper),
  }
}

/** A loopback interface of its own. @throws Error for users other than root */
export async function openLoopback(): Promise<Site> {
  const { prefix, close } = await openNamespace()
  return everywhere(prefix, close)
}
