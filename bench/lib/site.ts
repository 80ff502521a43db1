import { startReady, stopChild, type Command } from './child.js'
import { allowedCores, divideCores, onCores } from './cores.js'

/** A network in which proxy, load and backends share a loopback interface, and the cores of each. */
export interface Site {
  /** The command that runs a proxy in it. */
  proxy(...command: Command): Command
  /** The command that runs a backend or a load generator in it. */
  load(...command: Command): Command
  close(): Promise<void>
}

const cores = divideCores(allowedCores())

function siteAfter(prefix: readonly string[], close: () => Promise<void>): Site {
  const within = (own: readonly number[] | undefined, command: Command): Command => {
    const [first = '', ...rest] = [...prefix, ...onCores(own), ...command]
    return [first, ...rest]
  }
  return {
    proxy: (...command) => within(cores?.proxy, command),
    load: (...command) => within(cores?.load, command),
    close,
  }
}

/** The network of this machine. */
export const MACHINE: Site = siteAfter([], () => Promise.resolve())

/** A site with a network namespace of its own. */
export interface NamespaceSite extends Site {
  /** A process in the namespace. */
  readonly pid: number
}

/**
 * A network namespace with nothing but a loopback interface. Closing removes it.
 * @throws Error for users other than root
 */
export async function openNamespace(): Promise<NamespaceSite> {
  const script = 'ip link set lo up && echo ready && read -r end'
  const keeper = await startReady(
    ['unshare', '--net', 'sh', '-c', script],
    'a network namespace can not be made here: run the benchmark as root',
  )
  const { pid = 0 } = keeper
  const prefix = ['nsenter', `--net=/proc/${pid}/ns/net`, '--']
  return { ...siteAfter(prefix, () => stopChild(keeper)), pid }
}
