import type { ChildProcess } from 'node:child_process'
import { accountFor, isMeasurable } from './accounting.js'
import { Backends } from './backends.js'
import { howItEnded, endAll, stopChild } from './child.js'
import type { Peer } from './peer.js'
import { BASES } from './peers/index.js'
import { freePort } from './ports.js'
import type { Progress } from './progress.js'
import type { Figure, Row, ScenarioResult, Value } from './results.js'
import type { Bed, Figures, Scenario, Traffic } from './scenario.js'
import { MACHINE } from './site.js'
import { summarize } from './statistics.js'

/** A warm-up takes this share of a round's time. */
const WARM_UP = 0.3
/** Time that a round takes beside the load's, seconds. */
const OVERHEAD = 0.3
const MIB = 2 ** 20

export interface RoundOptions {
  /** Rounds that count. */
  readonly rounds: number
  /** Of a round of traffic. */
  readonly seconds: number
  readonly isQuick: boolean
}

/** A peer in a scenario: where it is, what it has brought so far, and why it is out where it is. */
interface Candidate {
  readonly peer: Peer
  readonly rounds: Figures[]
  /** What a round does. */
  run?: (seconds: number) => Promise<Figures>
  child?: ChildProcess | undefined
  failure?: string
}

/** Measures scenarios, one peer after the other in each round, so that what else the machine does falls on all. */
export class Rounds {
  readonly #beds = new Map<Peer, Promise<Bed>>()
  readonly #machine = { site: MACHINE, backends: new Backends(MACHINE) }
  #isInterrupted = false

  constructor(private readonly options: RoundOptions) {}

  /** Time that a scenario takes by estimate, seconds. */
  estimate(scenario: Scenario, peers: readonly Peer[]): number {
    const able = peers.filter((peer) => suits(scenario, peer)).length
    return able * this.#roundsOf(scenario) * this.#secondsOf(scenario)
  }

  /** Ends what is under way: the rounds that all peers have had are kept. */
  interrupt(): void {
    this.#isInterrupted = true
    endAll()
  }

  get isInterrupted(): boolean {
    return this.#isInterrupted
  }

  async measure(
    scenario: Scenario,
    peers: readonly Peer[],
    progress: Progress,
  ): Promise<ScenarioResult> {
    const candidates: Candidate[] = peers
      .filter((peer) => suits(scenario, peer))
      .map((peer) => ({ peer, rounds: [] }))
    try {
      for (const candidate of candidates) {
        if (this.isInterrupted) break
        await this.#attempt(candidate, () => this.#prepare(scenario, candidate))
      }
      for (let round = 0; round < this.#roundsOf(scenario) && !this.#isInterrupted; round++) {
        const brought = await this.#round(scenario, round, candidates, progress)
        // Of a round that was cut short some would have one more than others; and the first one warms up.
        if (this.isInterrupted || round < this.#warmUps(scenario)) continue
        for (const [candidate, figures] of brought) candidate.rounds.push(figures)
      }
    } finally {
      for (const { child } of candidates) if (child) await stopChild(child)
    }
    return resultOf(scenario, candidates)
  }

  /** Stops the backends, and removes the networks that peers have had. */
  async close(): Promise<void> {
    await this.#machine.backends.stop()
    for (const bed of this.#beds.values()) {
      await bed
        .then(({ backends, site }) => backends.stop().then(() => site.close()))
        .catch(() => undefined)
    }
  }

  async #prepare(scenario: Scenario, candidate: Candidate): Promise<void> {
    const bed = await this.#bedOf(candidate.peer)
    if (scenario.kind === 'traffic') await startForTraffic(scenario, bed, candidate)
    else candidate.run = () => scenario.measure(bed)
  }

  async #round(
    scenario: Scenario,
    round: number,
    candidates: readonly Candidate[],
    progress: Progress,
  ): Promise<Map<Candidate, Figures>> {
    const brought = new Map<Candidate, Figures>()
    const isWarmUp = round < this.#warmUps(scenario)
    const number = round + 1 - this.#warmUps(scenario)
    for (const candidate of candidates) {
      if (this.#isInterrupted) break
      const { peer, run } = candidate
      progress.tell(`${peer.name}, ${isWarmUp ? 'warm-up' : `round ${number}`}`)
      const seconds = this.options.seconds * (isWarmUp ? WARM_UP : 1)
      if (run && !candidate.failure) {
        await this.#attempt(candidate, async () => {
          brought.set(candidate, await run(seconds))
          const ended = candidate.child && howItEnded(candidate.child)
          if (ended) throw new Error(`${peer.name} ${ended}`)
        })
        if (candidate.failure && !isWarmUp) candidate.failure += `, in round ${number}`
      }
      progress.advance(this.#secondsOf(scenario))
    }
    return brought
  }

  /** A peer that fails is out: what it brought before is not averaged with anything. */
  async #attempt(candidate: Candidate, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (err) {
      if (this.#isInterrupted) return // By us.
      const ended = candidate.child && howItEnded(candidate.child)
      candidate.failure = ended ? `it ${ended}` : err instanceof Error ? err.message : String(err)
    }
  }

  /** Each peer has its network and backends for all scenarios. */
  #bedOf(peer: Peer): Promise<Bed> {
    const { isQuick } = this.options
    let bed = this.#beds.get(peer)
    if (!bed) {
      bed = peer.openSite
        ? peer.openSite().then((site) => ({ peer, site, backends: new Backends(site), isQuick }))
        : Promise.resolve({ peer, ...this.#machine, isQuick })
      this.#beds.set(peer, bed)
    }
    return bed
  }

  /** A process that is started anew each time has nothing to warm up. */
  #warmUps({ kind }: Scenario): number {
    return kind === 'traffic' ? 1 : 0
  }

  #roundsOf(scenario: Scenario): number {
    const most = scenario.kind === 'start' ? (scenario.maxRounds ?? Infinity) : Infinity
    return Math.min(this.options.rounds, most) + this.#warmUps(scenario)
  }

  #secondsOf(scenario: Scenario): number {
    return scenario.kind === 'start' ? scenario.seconds : this.options.seconds + OVERHEAD
  }
}

function suits(scenario: Scenario, peer: Peer): boolean {
  if (scenario.kind === 'start') return scenario.suits(peer)
  return peer.protocols.includes(scenario.backend === 'udp' ? 'udp' : 'tcp')
}

/** Starts a peer before the backend, and sees that one request is answered. */
async function startForTraffic(scenario: Traffic, bed: Bed, candidate: Candidate): Promise<void> {
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
  candidate.run = async (seconds) => {
    if (!child) return (await scenario.measure(port, bed, seconds)).figures
    const work = (): ReturnType<Traffic['measure']> => scenario.measure(port, bed, seconds)
    const [measured, usage] = await accountFor(child.pid ?? 0, work)
    const cpu = (usage.processorSeconds / measured.work) * scenario.cost.scale
    return {
      ...measured.figures,
      ...(isMeasurable(usage.processorSeconds) ? { cpu } : {}),
      peak: usage.peakMemory / MIB,
    }
  }
}

function resultOf(scenario: Scenario, candidates: readonly Candidate[]): ScenarioResult {
  const figures = [
    ...scenario.figures,
    ...(scenario.kind === 'traffic' ? usageFigures(scenario) : []),
  ]
  const { name, title, load, curve } = scenario
  return {
    name,
    title,
    load,
    figures,
    ...(curve ? { curve: { ...curve, points: curve.points.map(([x, key]) => ({ x, key })) } } : {}),
    rows: withRatios(candidates.map((candidate) => rowOf(candidate, figures))),
  }
}

function usageFigures({ cost }: Traffic): Figure[] {
  return [
    { key: 'cpu', title: 'processor', unit: cost.unit, better: 'less' },
    { key: 'peak', title: 'resident memory', unit: 'MiB', better: 'less' },
  ]
}

function rowOf({ peer, rounds, failure }: Candidate, figures: readonly Figure[]): Row {
  if (failure !== undefined) return { peer: peer.name, values: {}, failure }
  const values: Record<string, Value> = {}
  for (const { key } of figures) {
    const brought = rounds.map((round) => round[key]).filter((value) => value !== undefined)
    if (brought.length > 0) values[key] = { rounds: brought, ...summarize(brought), ratios: {} }
  }
  return { peer: peer.name, values }
}

/** Adds how the medians compare with those of the bases. */
function withRatios(rows: readonly Row[]): Row[] {
  return rows.map((row) => {
    const values = Object.entries(row.values).map(([key, value]) => {
      const ratios: Record<string, number> = {}
      for (const base of BASES) {
        const of = rows.find(({ peer }) => peer === base)?.values[key]?.median
        if (of) ratios[base] = value.median / of
      }
      return [key, { ...value, ratios }] as const
    })
    return { ...row, values: Object.fromEntries(values) }
  })
}
