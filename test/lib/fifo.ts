import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { execaSync } from 'execa'
import type { Test } from 'tap'

/** Capacity of a pipe, bytes, see pipe(7). */
const CAPACITY = 64 * 1024

/** A FIFO like dockerd's status pipe. Node's own 'pipe' stdio is a socket. */
export interface Fifo {
  /** The writing end, for a child. */
  readonly writeFd: number
  /** Closes our copy of the writing end. The reader sees the end when no copy is left. */
  closeWrite(): void
  closeRead(): void
  /** Returns its content, without waiting. */
  drain(): string
  /** Fills it completely. */
  fill(): void
  /** Waits for this many whole lines, and returns them. */
  readLines(count: number): Promise<string[]>
  /** Returns everything that is written until all writers have closed it. */
  readAll(): Promise<string>
}

export function makeFifo(t: Test, name = 'pipe'): Fifo {
  const path = join(t.testdir(), name)
  execaSync('mkfifo', ['-m', '600', path])
  // The reading end first, which does not wait for a writer.
  let readFd: number | undefined = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  let writeFd: number | undefined = openSync(path, constants.O_WRONLY)
  /** Opens a descriptor that may block, because a worker thread reads it. */
  const openBlocking = () => open(`/proc/self/fd/${readFd ?? -1}`, 'r')
  const fifo: Fifo = {
    writeFd,
    closeWrite() {
      if (writeFd !== undefined) closeSync(writeFd)
      writeFd = undefined
    },
    closeRead() {
      if (readFd !== undefined) closeSync(readFd)
      readFd = undefined
    },
    drain() {
      const chunks: Buffer[] = []
      const buffer = Buffer.alloc(CAPACITY)
      try {
        for (let count = 1; count > 0; chunks.push(Buffer.from(buffer.subarray(0, count)))) {
          count = readSync(readFd ?? -1, buffer)
        }
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== 'EAGAIN') throw err
      }
      return Buffer.concat(chunks).toString()
    },
    fill() {
      writeSync(writeFd ?? -1, 'x'.repeat(CAPACITY))
    },
    async readLines(count) {
      const file = await openBlocking()
      let text = ''
      while (text.split('\n').length <= count) {
        const { bytesRead, buffer } = await file.read()
        if (bytesRead === 0) throw new Error(`the FIFO ended after ${JSON.stringify(text)}`)
        text += buffer.toString('utf8', 0, bytesRead)
      }
      await file.close()
      return text.trimEnd().split('\n')
    },
    async readAll() {
      // Opened first, because an open waits for a writer, and the other writer may have closed it by then.
      const file = await openBlocking()
      fifo.closeWrite()
      fifo.closeRead()
      const text = await file.readFile('utf8')
      await file.close()
      return text
    },
  }
  t.teardown(() => {
    fifo.closeWrite()
    fifo.closeRead()
  })
  return fifo
}
