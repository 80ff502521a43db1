/** The addresses of a network namespace, kept current. */
export interface WatchedAddresses {
  has(ip: string): boolean
  /** All of them. An address that is there twice may be listed twice. */
  readonly all: readonly string[]
  /** Ends the watch. May be called again. */
  stop(): void
}
