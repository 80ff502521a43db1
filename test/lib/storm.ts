import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { pick } from './seeded.js'
import { startBackend, type Backend } from './sockets.js'

/*
 * Connections of all kinds through a proxy, many at a time. Every byte is compared.
 */

const KINDS = [
  'client ends first',
  'backend ends first',
  'both send at once',
  'client reads slowly',
  'backend reads slowly',
  'client resets',
  'backend resets',
  'client gives up',
] as const

/** The first bytes of each client identify the connection. */
const ID_SIZE = 4
const MAX_DATA = 512 * 1024
const POOL = randomFillSync(Buffer.alloc(2 * MAX_DATA))

export interface Storm {
  readonly backend: Backend
  /**
   * @param count connections in all
   * @param atOnce connections at a time
   * @returns the failures
   */
  blow(port: number, count: number, atOnce: number): Promise<string[]>
}

/** @param random decides everything: the same numbers make the same storm */
export async function prepareStorm(t: Test, random: () => number): Promise<Storm> {
  const expected = new Map<number, (server: Socket) => void>()
  const backend = await startBackend(t, (server) => {
    const identify = (): void => {
      const id = server.read(ID_SIZE) as Buffer | null
      if (id === null) return void server.once('readable', identify)
      expected.get(id.readUInt32LE())?.(server)
    }
    identify()
  })

  const one = async (port: number, id: number): Promise<void> => {
    const kind = pick(random, KINDS)
    const up = randomData(random)
    const down = randomData(random)
    const joined = new Promise<Socket>((resolve) => expected.set(id, resolve))
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    client.on('error', () => undefined)
    try {
      const name = Buffer.alloc(ID_SIZE)
      name.writeUInt32LE(id)
      await once(client, 'connect')
      client.write(name)
      const server = await joined
      try {
        await play(kind, client, server, up, down)
      } finally {
        server.destroy()
      }
    } catch (err) {
      throw new Error(
        `connection ${id}, ${kind}, ${up.length} up, ${down.length} down: ${String(err)}`,
        { cause: err },
      )
    } finally {
      client.destroy()
      expected.delete(id)
    }
  }

  return {
    backend,
    async blow(port, count, atOnce) {
      const failures: string[] = []
      let next = 0
      const lane = async (): Promise<void> => {
        while (next < count) {
          await one(port, next++).catch((err: unknown) => failures.push(String(err)))
        }
      }
      await Promise.all(Array.from({ length: atOnce }, lane))
      return failures
    },
  }
}

async function play(
  kind: (typeof KINDS)[number],
  client: Socket,
  server: Socket,
  up: Buffer,
  down: Buffer,
): Promise<void> {
  switch (kind) {
    case 'client ends first':
      client.end(up)
      await receive(server, up, 'end')
      server.end(down)
      return receive(client, down, 'end')
    case 'backend ends first':
      server.end(down)
      await receive(client, down, 'end')
      client.end(up)
      return receive(server, up, 'end')
    case 'both send at once':
    case 'client reads slowly':
    case 'backend reads slowly': {
      client.end(up)
      server.end(down)
      const slow = kind === 'client reads slowly' ? client : server
      if (kind !== 'both send at once') pauseNowAndThen(slow)
      await Promise.all([receive(server, up, 'end'), receive(client, down, 'end')])
      return
    }
    case 'client resets':
    case 'backend resets': {
      client.write(up)
      server.write(down)
      await Promise.all([receive(server, up, 'all'), receive(client, down, 'all')])
      const [first, other] = kind === 'client resets' ? [client, server] : [server, client]
      const reset = once(other, 'error') as Promise<[NodeJS.ErrnoException]>
      const ended = once(other, 'end').then(() => Promise.reject(new Error('a clean end')))
      other.resume()
      first.resetAndDestroy()
      const [{ code }] = await Promise.race([reset, ended])
      if (code !== 'ECONNRESET') throw new Error(`broken by ${code ?? '?'}`)
      return
    }
    case 'client gives up': {
      // Node reports a reset right behind data as an end, see uv__read in libuv; both are fine.
      const closed = new Promise<void>((resolve) => {
        server.once('end', () => resolve())
        server.once('close', () => resolve())
      })
      server.resume()
      server.write(down)
      client.write(up)
      client.resetAndDestroy()
      await closed
    }
  }
}

/** Compares the received bytes with the expected ones. Resolves with the last byte, or with the end of stream after it. */
function receive(socket: Socket, expected: Buffer, until: 'all' | 'end'): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = 0
    const fail = (reason: string): void => {
      reject(new Error(`${reason} after ${received} of ${expected.length} bytes`))
    }
    const check = (): void => {
      if (until === 'all' && received === expected.length) resolve()
    }
    socket.on('data', (chunk: Buffer) => {
      const end = received + chunk.length
      if (!chunk.equals(expected.subarray(received, end))) return fail('wrong bytes')
      received = end
      check()
    })
    socket.on('error', (err: NodeJS.ErrnoException) => fail(err.code ?? err.message))
    socket.on('end', () => (received === expected.length ? resolve() : fail('an early end')))
    socket.on('close', () => fail('closed'))
    check()
  })
}

function pauseNowAndThen(socket: Socket): void {
  socket.on('data', () => {
    socket.pause()
    setImmediate(() => setImmediate(() => socket.resume()))
  })
}

/** Mostly as little as a request, sometimes enough to fill all buffers. */
function randomData(random: () => number): Buffer {
  const kind = random()
  const limit = kind < 0.7 ? 2048 : kind < 0.95 ? 64 * 1024 : MAX_DATA
  const start = Math.floor(random() * MAX_DATA)
  return POOL.subarray(start, start + Math.floor(random() * limit))
}
