import { type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { howItEnded } from './child.js'

const TRIES_MS = 10_000
const PAUSE_MS = 1
const IDLE_CHECK_MS = 50

/**
 * Waits until a proxy reports on its status pipe that it forwards.
 * @throws Error with the reason if the proxy reports a failure
 */
export async function statusReady(child: ChildProcess): Promise<void> {
  const end = once(child, 'close').then(() => [howItEnded(child) ?? 'it ended'])
  const [status] = (await Promise.race([once(child.stdio[3] as Readable, 'data'), end])) as [
    unknown,
  ]
  if (String(status) !== '0\n') throw new Error(String(status).trim().replace(/^1\n/, ''))
}

/** Waits until a process accepts connections on a port of this machine. */
export async function portReady(port: number, child: ChildProcess): Promise<void> {
  for (const end = performance.now() + TRIES_MS; ;) {
    const socket = connect({ port, host: '127.0.0.1' })
    try {
      await once(socket, 'connect')
      return
    } catch (err) {
      const ended = howItEnded(child)
      if (ended) throw new Error(ended, { cause: err })
      if (performance.now() > end) throw err
      await new Promise((done) => setTimeout(done, PAUSE_MS))
    } finally {
      socket.destroy()
    }
  }
}

/** Waits until a process is idle: its processor time no longer grows. */
export async function untilIdle(pid: number): Promise<void> {
  for (let before = ''; ;) {
    await new Promise((done) => setTimeout(done, IDLE_CHECK_MS))
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    const processorTime = fields.slice(11, 13).join()
    if (processorTime === before) return
    before = processorTime
  }
}
