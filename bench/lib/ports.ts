import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below the ephemeral ports, which connections use here by the thousand. */
const FIRST = 20_000
const LAST = 32_000

/** Simultaneous runs begin at different ports. */
let next = FIRST + Math.floor(Math.random() * (LAST - FIRST))

/** A port that is free, and was not used by this run before. */
export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1)
  return port
}

/**
 * Consecutive free ports.
 * @throws Error if there are not enough
 */
export async function freePorts(count: number): Promise<number[]> {
  let row: number[] = []
  for (let tries = 0; tries < 2 * (LAST - FIRST); tries++) {
    if (next > LAST) [next, row] = [FIRST, []]
    const port = next++
    row = (await isFree(port)) ? [...row, port] : []
    if (row.length === count) return row
  }
  throw new Error(`no ${count} ports in a row are free between ${FIRST} and ${LAST}`)
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}
