import type { ChildProcess } from 'node:child_process'
import { accountFor, family, isMeasurable } from './accounting.js'
import type { Peer } from './peer.js'
import { freePort } from './ports.js'
import type { Bed, Figures, Traffic } from './scenario.js'
import { MIB } from './units.js'

/** A peer in a scenario: where it is, what it has brought so far, and why it is out where it is. */
export interface Candidate {
  readonly peer: Peer
  readonly rounds: Figures[]
  /** What a round does. */
  run?: (seconds: number) => Promise<Figures>
  child?: ChildProcess | undefined
  failure?: string
}

/** Starts a peer before the backend, and checks that one request is answered. */
export async function startForTraffic(
  scenario: Traffic,
  bed: Bed,
  candidate: Candidate,
): Promise<void> {
  const { peer, site, backends } = bed
  const backendPort = await backends.port(scenario.backend)
  const port = peer.isBackend ? backendPort : await freePort()
  const protocol = scenario.backend === 'udp' ? 'udp' : 'tcp'
  const child = (candidate.child = peer.start({ protocol, port, backendPort }, site))
  try {
    await backends.check(scenario.backend, port, child)
  } catch (err) {
    throw new Error(`it does not forward: ${(err as Error).message}`, { cause: err })
  }
  const pid = child?.pid ?? 0
  let workers: string | undefined
  candidate.run = async (seconds) => {
    if (!child) return (await scenario.measure(port, bed, seconds)).figures
    workers ??= family(pid).join()
    const work = (): ReturnType<Traffic['measure']> => scenario.measure(port, bed, seconds)
    const server = peer.server?.()
    const pids = server === undefined ? [pid] : [pid, server]
    const [measured, usage] = await accountFor(pids, work)
    if (peer.hasWorkers && family(pid).join() !== workers)
      throw new Error('a worker of it has ended')
    const cpu = (usage.processorSeconds / measured.work) * scenario.cost.scale
    return {
      ...measured.figures,
      ...(isMeasurable(usage.processorSeconds) ? { cpu } : {}),
      peak: usage.peakMemory / MIB,
    }
  }
}
