import type { ChildProcess } from 'node:child_process'
import { stopChild } from './child.js'
import { statusReady } from './ready.js'
import type { Bed } from './scenario.js'

/** Proxies of several ports, and what ends them. */
export interface Started {
  readonly children: readonly ChildProcess[]
  readonly close: () => Promise<void>
}

/** Starts a peer for each port, one after the other as dockerd does. */
export async function startPeers(
  { peer, site }: Bed,
  ports: readonly number[],
  backendPort: number,
): Promise<Started> {
  const children: ChildProcess[] = []
  const close = async (): Promise<void> => {
    await Promise.all(children.map(stopChild))
  }
  try {
    for (const port of ports) {
      const child = peer.start({ protocol: 'tcp', port, backendPort }, site)
      if (!child) throw new Error(`${peer.name} has no process`)
      children.push(child)
      await statusReady(child)
    }
    return { children, close }
  } catch (err) {
    await close()
    throw err
  }
}
