/** How ports can be served: each by a process of its own, all ports of a publication by one process, or `auto`: by their number. */
export const ISOLATION_CHOICES = ['auto', 'process', 'shared'] as const
export type IsolationChoice = (typeof ISOLATION_CHOICES)[number]

/** How the ports of a publication are served. */
export type Isolation = Exclude<IsolationChoice, 'auto'>

/** With `auto`, up to this many ports have a process each. */
export const MAX_PORTS_WITH_PROCESSES = 16
