import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execaSync } from 'execa'
import type { Test } from 'tap'

/** A disk of a test that can be filled up. */
export interface SmallDisk {
  readonly folder: string
  fill(): void
  free(): void
}

/** Mounts a small disk. Needs root. */
export function mountSmallDisk(t: Test): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'small-disk-'))
  execaSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', folder])
  t.teardown(() => {
    // A process that was killed may not have closed its files yet.
    execaSync('umount', ['--lazy', folder])
    rmdirSync(folder)
  })
  const filler = join(folder, 'filler')
  return {
    folder,
    fill() {
      try {
        writeFileSync(filler, Buffer.alloc(1024 * 1024))
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code === 'ENOSPC') return
        throw err
      }
      throw new Error('the disk is larger than it should be')
    },
    free: () => rmSync(filler),
  }
}
