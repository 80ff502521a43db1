import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'

/** Results of the clients. */
interface TrafficFigures {
  /** Connections that brought back all that was sent. */
  connections: number
  /** Bytes that came back, and were compared. */
  bytes: number
  /** Connections that were not accepted. */
  refused: number
  /** Connections that ended too early. */
  cut: number
  /** Connections that brought other bytes. */
  wrong: number
  /** Connections on which nothing came for a minute. */
  stalled: number
}

/** Clients of an echo server behind a proxy. */
export interface Traffic {
  readonly figures: Readonly<TrafficFigures>
  /** Resolves when this many more connections have succeeded. */
  more(connections: number): Promise<void>
  /** Ends the clients. */
  stop(): Promise<void>
}

const MAX_SIZE = 64 * 1024
const POOL = randomFillSync(Buffer.alloc(2 * MAX_SIZE))
const LONGEST_MS = 60_000
/** Between two exchanges of a connection that is held. */
const HELD_PAUSE_MS = 20
/** Before the next try after a connection that failed. */
const RETRY_MS = 10

/**
 * Starts clients that connect again and again, and clients that hold their connection. All compare what comes back.
 * @param clients that connect again and again
 * @param held connections that stay
 */
export function startTraffic(
  t: Test,
  port: number,
  { clients = 8, held = 16 }: { clients?: number; held?: number } = {},
): Traffic {
  const figures = { connections: 0, bytes: 0, refused: 0, cut: 0, wrong: 0, stalled: 0 }
  let isOver = false
  const open = new Set<Socket>()
  t.teardown(() => {
    isOver = true
    for (const socket of open) socket.destroy()
  })
  let waiters: { readonly at: number; readonly resolve: () => void }[] = []

  /** @returns undefined if the connection failed */
  const dial = async (): Promise<Socket | undefined> => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    open.add(socket)
    socket.once('close', () => open.delete(socket)).on('error', () => undefined)
    socket.setTimeout(LONGEST_MS, () => {
      figures.stalled++
      socket.destroy()
    })
    try {
      await once(socket, 'connect')
      return socket
    } catch {
      if (!isOver) figures.refused++
      return undefined
    }
  }
  /** Sends data, and reads as much. @returns whether the same came back */
  const exchange = async (socket: Socket, isLast: boolean): Promise<boolean> => {
    const start = Math.floor(Math.random() * MAX_SIZE)
    const data = POOL.subarray(start, start + 1 + Math.floor(Math.random() * MAX_SIZE))
    if (isLast) socket.end(data)
    else socket.write(data)
    let read = 0
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      const bytes = chunk as Buffer
      const isSame = bytes.equals(data.subarray(read, read + bytes.length))
      read += bytes.length
      if (!isSame) {
        figures.wrong++
        return false
      }
      if (read === data.length && !isLast) break
    }
    if (read < data.length) throw new Error('the end came too early')
    figures.bytes += read
    return true
  }
  const use = async (socket: Socket, isHeld: boolean): Promise<void> => {
    try {
      while (isHeld && !isOver && (await exchange(socket, false))) await delay(HELD_PAUSE_MS)
      if (!(await exchange(socket, true))) return
      figures.connections++
      for (const { at, resolve } of waiters) if (figures.connections >= at) resolve()
      waiters = waiters.filter(({ at }) => figures.connections < at)
    } catch {
      if (!isOver) figures.cut++
      await delay(RETRY_MS)
    } finally {
      socket.destroy()
    }
  }
  const client = async (isHeld: boolean): Promise<void> => {
    while (!isOver) {
      const socket = await dial()
      if (socket) await use(socket, isHeld)
      else await delay(RETRY_MS)
    }
  }
  const running = [
    ...Array.from({ length: clients }, () => client(false)),
    ...Array.from({ length: held }, () => client(true)),
  ]
  return {
    figures,
    more: (connections) =>
      new Promise((resolve) => {
        waiters.push({ at: figures.connections + connections, resolve })
      }),
    async stop() {
      isOver = true
      await Promise.all(running)
    },
  }
}

/** Prints the figures of a test, and asserts that no client lost data. @param mayCut connections that may have ended too early */
export function assertNoLoss(
  t: Test,
  what: string,
  { figures: { connections, bytes, cut, ...losses } }: Traffic,
  mayCut = 0,
): void {
  const megabytes = Math.round(bytes / 1_000_000)
  t.comment(`${what}; ${connections} connections, ${megabytes} MB compared, ${cut} cut`)
  t.strictSame(losses, { refused: 0, wrong: 0, stalled: 0 })
  t.ok(cut <= mayCut, `${cut} of ${mayCut} connections were cut`)
}
