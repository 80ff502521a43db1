import type { Backend, Backends } from './backends.js'
import type { Peer } from './peer.js'
import type { Figure } from './results.js'
import type { Site } from './site.js'

/** The result of a round, by the keys of the figures. */
export type Figures = Readonly<Record<string, number>>

/** Conditions of a measurement. */
export interface Bed {
  readonly peer: Peer
  readonly site: Site
  readonly backends: Backends
  /** Length of a round, seconds. */
  readonly seconds: number
  /** Whether slow parts are left out. */
  readonly isQuick: boolean
  /** Reports what can't be measured here, and why. */
  leaveOut(name: string, reason: string): void
}

/** A chart of figures along an axis, with the position of each. */
interface Curve {
  readonly title: string
  readonly xTitle: string
  readonly unit: string
  readonly points: readonly (readonly [x: number | string, key: string])[]
}

interface Common {
  readonly name: string
  /** `--only` accepts this as well as the name. */
  readonly group?: string
  readonly title: string
  /** The load generator, and its parameters. */
  readonly load: string
  /** The first is the main figure. */
  readonly figures: readonly Figure[]
  readonly curve?: Curve
  /** Why it can't be run here, and what to do about it. */
  readonly missing: () => string | undefined
  /** Whether the network makes no difference: it runs on this machine's loopback interface. */
  readonly isLocal?: true
  /** The peers that it compares, if not all. */
  readonly suits?: (peer: Peer) => boolean
}

/** Work through a proxy that runs for all rounds. */
export interface Traffic extends Common {
  readonly kind: 'traffic'
  readonly backend: Backend
  /** The unit for processor time, and the number of units per second. */
  readonly cost: { readonly unit: string; readonly scale: number }
  /** @returns the figures, and the number of requests, datagrams or GiB */
  measure(port: number, bed: Bed, seconds: number): Promise<{ figures: Figures; work: number }>
}

/** A measurement of a proxy's start, or of a proxy that has just started. */
export interface Start extends Common {
  readonly kind: 'start'
  /** One round is enough, unless a number was given. */
  readonly isLong?: boolean
  /** The approximate length of a round, with loads of `load` seconds, seconds. */
  readonly seconds: (load: number, isQuick: boolean) => number
  measure(bed: Bed): Promise<Figures>
}

export type Scenario = Traffic | Start

/** For scenarios that need nothing but this project. */
export const nothingMissing = (): undefined => undefined
