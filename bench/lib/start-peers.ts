import type { ChildProcess } from 'node:child_process'
import { stopChild } from './child.js'
import { statusReady } from './ready.js'
import type { Bed } from './scenario.js'

/** Running proxies of several ports, and how to end them. */
export interface Started {
  readonly children: readonly ChildProcess[]
  /** Total time of all proxies from exec(2) to ready, seconds. Excludes Node's forks, which dockerd does not need. */
  readonly seconds: number
  readonly close: () => Promise<void>
}

/** Starts a peer for each port, one after the other as dockerd does. */
export async function startPeers(
  { peer, site }: Bed,
  ports: readonly number[],
  backendPort: number,
): Promise<Started> {
  const children: ChildProcess[] = []
  let milliseconds = 0
  const close = async (): Promise<void> => {
    await Promise.all(children.map(stopChild))
  }
  try {
    for (const port of ports) {
      const child = peer.start({ protocol: 'tcp', port, backendPort }, site)
      if (!child) throw new Error(`${peer.name} has no process`)
      children.push(child)
      // Node's spawn returns after the exec.
      const start = performance.now()
      await statusReady(child)
      milliseconds += performance.now() - start
    }
    return { children, seconds: milliseconds / 1000, close }
  } catch (err) {
    await close()
    throw err
  }
}
