import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'

/** A FIFO, as the pipes are that dockerd hands over (Node's own 'pipe' stdio is a socket). */
export interface Fifo {
  /** The end to hand over to a child. */
  readonly writeFd: number
  /** Our copy of it; the reader sees the end once no one has any. */
  closeWrite(): void
  closeRead(): void
  /** All that is in it now. */
  drain(): string
  /** All that is written until everyone has closed it. */
  readAll(): Promise<string>
}

export function makeFifo(t: Test, name = 'pipe'): Fifo {
  const path = join(t.testdir(), name)
  execFileSync('mkfifo', ['-m', '600', path])
  // Opened for reading first, without waiting for a writer.
  let readFd: number | undefined = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  let writeFd: number | undefined = openSync(path, constants.O_WRONLY)
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
      const buffer = Buffer.alloc(64 * 1024)
      try {
        for (let count = 1; count > 0; chunks.push(Buffer.from(buffer.subarray(0, count)))) {
          count = readSync(readFd ?? -1, buffer)
        }
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== 'EAGAIN') throw err
      }
      return Buffer.concat(chunks).toString()
    },
    async readAll() {
      fifo.closeWrite()
      // A blocking descriptor of its own, read by a worker thread: it waits for the end.
      const file = await open(`/proc/self/fd/${readFd ?? -1}`, 'r')
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
