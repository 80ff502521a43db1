import type { Socket } from 'node:net'
import type { Bandwidth, BandwidthWaiter } from '../bandwidth.js'
import { endLongTurn } from './long-turns.js'

/**
 * Moves the data of a socket to another one, as fast as the other one accepts it and the bandwidth allows. Ends and errors are up to the caller.
 * Unlike `stream.pipe`, it can also wait for bandwidth: a pipe would resume the source by itself.
 */
export function pump(from: Socket, to: Socket, bandwidth: Bandwidth): void {
  let isFull = to.writableNeedDrain
  let isOverLimit = false
  const waiter: BandwidthWaiter = {
    wake() {
      isOverLimit = false
      if (!isFull) from.resume()
    },
  }
  from.on('data', (data) => {
    endLongTurn()
    // The data of a side whose other side has gone is not read.
    if (to.destroyed) return void from.pause()
    isFull = !to.write(data)
    bandwidth.spend(data.length)
    isOverLimit = bandwidth.grant(waiter) === 0
    if (isOverLimit) bandwidth.wait(waiter)
    if (isFull || isOverLimit) from.pause()
  })
  to.on('drain', () => {
    isFull = false
    if (!isOverLimit) from.resume()
  })
  from.once('close', () => bandwidth.forget(waiter))
  if (!isFull) from.resume()
}
