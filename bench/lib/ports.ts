import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below those that the system gives to connections, which come and go here by the thousand. */
const FIRST = 20_000
const LAST = 32_000

/** Two runs at once begin elsewhere. */
let next = FIRST + Math.floor(Math.random() * (LAST - FIRST))

/** A port that nobody has and that nobody was given here before. */
export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1)
  return port
}

/**
 * Ports that stand in a row.
 * @throws Error when there is no such row
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
