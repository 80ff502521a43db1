import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { execaSync } from 'execa'
import type { Test } from 'tap'

/** What an empty pipe takes, bytes; see pipe(7). */
const CAPACITY = 64 * 1024

/** A FIFO, as the pipes are that dockerd hands over (Node's own 'pipe' stdio is a socket). */
export interface Fifo {
  /** The end to hand over to a child. */
  readonly writeFd: number
  /** Our copy of it; the reader sees the end once no one has any. */
  closeWrite(): void
  closeRead(): void
  /** All that is in it now. */
  drain(): string
  /** Fills it until it takes no more. */
  fill(): void
  /** Waits for this many whole lines, and takes them. */
  readLines(count: number): Promise<string[]>
  /** All that is written until everyone has closed it. */
  readAll(): Promise<string>
}

export function makeFifo(t: Test, name = 'pipe'): Fifo {
  const path = join(t.testdir(), name)
  execaSync('mkfifo', ['-m', '600', path])
  // Opened for reading first, without waiting for a writer.
  let readFd: number | undefined = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  let writeFd: number | undefined = openSync(path, constants.O_WRONLY)
  /** A descriptor that a worker thread reads, so it may wait for what comes. */
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
      // First, since an open waits for a writer, and the other one may have come and gone.
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
