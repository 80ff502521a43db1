/** Consecutive datagrams of one client, by their places in the batch. */
export interface DatagramRun {
  readonly first: number
  readonly count: number
}
