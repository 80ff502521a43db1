import type { Socket } from 'node:net'
import type { Bandwidth, BandwidthWaiter } from '../bandwidth.js'
import { endLongTurn } from './long-turns.js'

export interface Pump {
  /** Whether data waits for bandwidth. */
  isThrottled(): boolean
}

/**
 * Moves the data of a socket to another one, as fast as the other one accepts it and the bandwidth allows. Ends and errors are up to the caller.
 * Unlike `stream.pipe`, it can also wait for bandwidth: a pipe would resume the source by itself.
 */
export function pump(from: Socket, to: Socket, bandwidth: Bandwidth): Pump {
  let isFull = to.writableNeedDrain
  let waits = false
  const waiter: BandwidthWaiter = {
    wake() {
      waits = false
      if (!isFull) from.resume()
    },
  }
  const hasToWait = (): boolean => {
    waits = bandwidth.grant(waiter) === 0
    if (waits) bandwidth.wait(waiter)
    return waits
  }
  from.on('data', (data) => {
    endLongTurn()
    // The data of a side whose other side has gone is not read.
    if (to.destroyed) return void from.pause()
    isFull = !to.write(data)
    if (isFull) bandwidth.paused()
    bandwidth.spend(data.length)
    if (hasToWait() || isFull) from.pause()
  })
  to.on('drain', () => {
    isFull = false
    if (!waits) from.resume()
  })
  from.once('close', () => bandwidth.forget(waiter))
  if (hasToWait() || isFull) from.pause()
  else from.resume()
  return { isThrottled: () => waits }
}
