/** How ports are served: each by a process of its own, or all ports of a publication by one process. */
export type Isolation = 'process' | 'shared'
