import { loadavg } from 'node:os'
import { Backends } from './backends.js'
import { fullTable } from './connection-tracking.js'
import { startForTraffic, type Candidate } from './candidate.js'
import { endAll, howItEnded, stopChild, withinSeconds } from './child.js'
import { watchForeignWork } from './foreign-work.js'
import { LOOPBACK, type NetworkPath } from './network-path.js'
import type { Peer } from './peer.js'
import type { Progress } from './progress.js'
import type { LeftOut, ScenarioResult } from './results.js'
import { scenarioResult } from './scenario-result.js'
import type { Bed, Figures, Scenario } from './scenario.js'

/** Length of the warm-up relative to a round; at least half a second. */
const WARM_UP = 0.3
const MIN_WARM_UP = 0.5
/** A measurement is repeated if others had more of all cores meanwhile. */
const MAX_FOREIGN_SHARE = 0.2
const MAX_REPEATS = 2
/** Time that a round takes besides the load, seconds. */
const OVERHEAD = 0.4

/** Time that a peer has to answer, seconds. */
const PREPARE_SECONDS = Number(process.env['BENCH_PATIENCE'] ?? 30)

export interface RoundOptions {
  /** Rounds that count. */
  readonly rounds: number
  /** Whether the number of rounds was given: then it applies to slow scenarios as well. */
  readonly insists: boolean
  /** Length of a round, seconds. */
  readonly seconds: number
  readonly isQuick: boolean
  /** The way of the traffic. */
  readonly path: NetworkPath
}

/** What all peers share on a path, and the bed of each. */
interface Ground {
  readonly shared: Promise<Pick<Bed, 'site' | 'backends'>>
  readonly beds: Map<Peer, Promise<Bed>>
}

/** Measures scenarios, in each round one peer after the other, so that other work on the machine affects all peers. */
export class Rounds {
  readonly #grounds = new Map<NetworkPath, Ground>()
  #isInterrupted = false
  /** Measurements of the scenario that were repeated. */
  #repeated = 0

  /** @param leftOut receives what could not be measured */
  constructor(
    private readonly options: RoundOptions,
    private readonly leftOut: LeftOut[],
  ) {}

  /** The estimated time of a scenario, seconds. */
  estimate(scenario: Scenario, peers: readonly Peer[]): number {
    const able = peers.filter((peer) => suits(scenario, peer)).length
    return able * this.#roundsOf(scenario) * this.#secondsOf(scenario)
  }

  /** Ends what is running. Rounds that all peers have completed are kept. */
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
    const loadAverages: number[] = []
    this.#repeated = 0
    try {
      for (const candidate of candidates) {
        if (this.isInterrupted) break
        await this.#attempt(candidate, () =>
          withinSeconds(PREPARE_SECONDS, () => this.#prepare(scenario, candidate)),
        )
      }
      for (let round = 0; round < this.#roundsOf(scenario) && !this.#isInterrupted; round++) {
        loadAverages.push(loadavg()[0] ?? 0)
        const brought = await this.#round(scenario, round, candidates, progress)
        // An incomplete round does not count, or some peers would have one more; nor does the first, which warms up.
        if (this.isInterrupted || round < this.#warmUps(scenario)) continue
        for (const [candidate, figures] of brought) candidate.rounds.push(figures)
      }
    } finally {
      for (const { child } of candidates) if (child) await stopChild(child)
    }
    const machine = { loadAverages, repeated: this.#repeated }
    return { ...scenarioResult(scenario, candidates), ...machine }
  }

  /** Stops the backends, and removes the networks of peers. */
  async close(): Promise<void> {
    for (const { shared, beds } of this.#grounds.values()) {
      const open = [...beds.values(), shared]
      for (const bed of open) await bed.then(closeBed).catch(() => undefined)
    }
  }

  async #prepare(scenario: Scenario, candidate: Candidate): Promise<void> {
    await this.#renewServer(scenario, candidate.peer)
    const bed = await this.#bedOf(scenario, candidate.peer)
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
      const { seconds } = this.options
      const length = isWarmUp ? Math.max(MIN_WARM_UP, seconds * WARM_UP) : seconds
      if (run && !candidate.failure) {
        await this.#attempt(candidate, async () => {
          const figures = await this.#undisturbed(scenario, () =>
            withinSeconds(this.#limitOf(scenario), () => run(length)),
          )
          const ended = endOf(candidate)
          if (ended) throw new Error(ended)
          brought.set(candidate, figures)
        })
        // The backend may still be busy with the peer that has failed.
        if (candidate.failure) {
          await this.#renewBackend(scenario, candidate).catch(() => undefined)
        }
        if (candidate.failure && !isWarmUp) candidate.failure += `, in round ${number}`
      }
      progress.advance(this.#secondsOf(scenario))
    }
    return brought
  }

  /** Repeats a measurement that other work on the machine has spoiled. */
  async #undisturbed(scenario: Scenario, measure: () => Promise<Figures>): Promise<Figures> {
    for (let repeated = 0; ; repeated++) {
      const foreignShare = watchForeignWork()
      const figures = await measure()
      const isSpoiled = scenario.kind === 'traffic' && foreignShare() > MAX_FOREIGN_SHARE
      if (!isSpoiled || repeated >= MAX_REPEATS || this.isInterrupted) return figures
      this.#repeated++
    }
  }

  /** Excludes a peer that has failed. Its earlier rounds do not count. */
  async #attempt(candidate: Candidate, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (err) {
      if (this.#isInterrupted) return // By us.
      const reason = endOf(candidate) ?? (err instanceof Error ? err.message : String(err))
      const cause = fullTable()
      candidate.failure = cause ? `${reason}: ${cause}` : reason
    }
  }

  /** Replaces a process before start-up is measured, because it has served others, and one that has ended. */
  async #renewServer(scenario: Scenario, peer: Peer): Promise<void> {
    if (!peer.server || !(scenario.kind === 'start' || peer.serverEnded?.())) return
    const { beds } = this.#groundOf(scenario)
    const bed = beds.get(peer)
    beds.delete(peer)
    if (bed) await closeBed(await bed)
  }

  async #renewBackend(scenario: Scenario, { peer }: Candidate): Promise<void> {
    if (scenario.kind !== 'traffic' || this.#isInterrupted) return
    const { backends } = await this.#bedOf(scenario, peer)
    await backends.renew(scenario.backend)
  }

  #groundOf({ isLocal }: Scenario): Ground & { readonly path: NetworkPath } {
    const path = isLocal ? LOOPBACK : this.options.path
    let ground = this.#grounds.get(path)
    if (!ground) {
      const shared = path.open().then((site) => ({ site, backends: new Backends(site) }))
      ground = { shared, beds: new Map() }
      this.#grounds.set(path, ground)
    }
    return { ...ground, path }
  }

  /** Each peer keeps its network and backends for all scenarios on the same path. */
  #bedOf(scenario: Scenario, peer: Peer): Promise<Bed> {
    const { path, shared, beds } = this.#groundOf(scenario)
    let bed = beds.get(peer)
    if (!bed) {
      bed = this.#openBed(peer, path, shared)
      beds.set(peer, bed)
    }
    return bed
  }

  async #openBed(peer: Peer, path: NetworkPath, shared: Ground['shared']): Promise<Bed> {
    const { isQuick, seconds } = this.options
    const leaveOut = (name: string, reason: string): void =>
      void this.leftOut.push({ name, reason })
    const common = { peer, isQuick, seconds, leaveOut }
    const ground = await shared
    if (!peer.openSite) {
      // It is closed with the ground.
      const site = { ...ground.site, close: () => Promise.resolve() }
      return { ...common, site, backends: ground.backends }
    }
    const site = await peer.openSite(path, ground.site)
    return { ...common, site, backends: new Backends(site) }
  }

  /** A process that is started for each round has nothing to warm up, and a short run has no time for it. */
  #warmUps({ kind }: Scenario): number {
    return kind === 'traffic' && !this.options.isQuick ? 1 : 0
  }

  #roundsOf(scenario: Scenario): number {
    const { rounds, insists } = this.options
    if (scenario.kind === 'start' && scenario.isLong && !insists) return 1
    return rounds + this.#warmUps(scenario)
  }

  /** Time after which a measurement hangs, beyond the estimate, seconds. */
  #limitOf(scenario: Scenario): number {
    return Math.ceil(4 * this.#secondsOf(scenario)) + PREPARE_SECONDS
  }

  #secondsOf(scenario: Scenario): number {
    const { seconds, isQuick } = this.options
    return scenario.kind === 'start' ? scenario.seconds(seconds, isQuick) : seconds + OVERHEAD
  }
}

async function closeBed({ backends, site }: Pick<Bed, 'backends' | 'site'>): Promise<void> {
  await backends.stop()
  await site.close()
}

/** How a peer's own process, or the one that all its ports share, has ended. */
function endOf({ peer, child }: Candidate): string | undefined {
  const ended = child && howItEnded(child)
  const server = peer.serverEnded?.()
  // The launchers end with it.
  return server ? `the process that serves it ${server}` : ended && `it ${ended}`
}

function suits(scenario: Scenario, peer: Peer): boolean {
  if (scenario.suits?.(peer) === false) return false
  return (
    scenario.kind === 'start' || peer.protocols.includes(scenario.backend === 'udp' ? 'udp' : 'tcp')
  )
}
