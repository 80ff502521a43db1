import type { Backend, Backends } from './backends.js'
import type { Peer } from './peer.js'
import type { Figure } from './results.js'
import type { Site } from './site.js'

/** What a round has brought, by the keys of the figures. */
export type Figures = Readonly<Record<string, number>>

/** What a peer is measured with. */
export interface Bed {
  readonly peer: Peer
  readonly site: Site
  readonly backends: Backends
  /** Of a round of traffic. */
  readonly seconds: number
  /** Whether what takes long is to be left out. */
  readonly isQuick: boolean
  /** Tells what can't be measured here, and why. */
  leaveOut(name: string, reason: string): void
}

/** A chart of figures along a line: what each stands for there. */
interface Curve {
  readonly title: string
  readonly xTitle: string
  readonly unit: string
  readonly points: readonly (readonly [x: number | string, key: string])[]
}

interface Common {
  readonly name: string
  /** `--only` takes this as well as the name. */
  readonly group?: string
  readonly title: string
  /** What makes the load, and how much of it. */
  readonly load: string
  /** The first is the one that the scenario is for. */
  readonly figures: readonly Figure[]
  readonly curve?: Curve
  /** Why it can't be run here, and what to do about it. */
  readonly missing: () => string | undefined
  /** The peers that it tells apart, where not all. */
  readonly suits?: (peer: Peer) => boolean
}

/** Work that is done through a proxy, which is there through all rounds. */
export interface Traffic extends Common {
  readonly kind: 'traffic'
  readonly backend: Backend
  /** What the processor's time is told for: the unit, and how many seconds are one of it. */
  readonly cost: { readonly unit: string; readonly scale: number }
  /** @returns the figures, and how many requests, datagrams or GiB there were */
  measure(port: number, bed: Bed, seconds: number): Promise<{ figures: Figures; work: number }>
}

/** Something about how a proxy starts, or about one that has just been started. */
export interface Start extends Common {
  readonly kind: 'start'
  /** One round is enough, where no number was asked for. */
  readonly isLong?: boolean
  /** How long a round takes about, of which each load takes `load`, seconds. */
  readonly seconds: (load: number, isQuick: boolean) => number
  measure(bed: Bed): Promise<Figures>
}

export type Scenario = Traffic | Start

/** For what needs no more than this project has. */
export const nothingMissing = (): undefined => undefined
