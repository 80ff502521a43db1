import { closeSync, openSync } from 'node:fs'
import t from 'tap'
import {
  countOpenDescriptors,
  descriptorAccess,
  descriptorLimit,
  holdsReadingEnd,
} from '../../../src/linux/proc/descriptors.js'
import { makeFifo } from '../../lib/fifo.js'

t.test('counts open descriptors', async (t) => {
  const before = countOpenDescriptors()
  const fd = openSync('/dev/null', 'r')
  t.equal(countOpenDescriptors(), before + 1)
  closeSync(fd)
  t.equal(countOpenDescriptors(), before)
  t.ok(descriptorLimit() >= before)
})

t.test('reports the access of a descriptor', async (t) => {
  for (const [flags, access] of [
    ['r', 'read'],
    ['w', 'write'],
    ['r+', 'both'],
  ] as const) {
    const fd = openSync('/dev/null', flags)
    t.equal(descriptorAccess(fd), access)
    closeSync(fd)
    t.equal(descriptorAccess(fd), undefined)
  }
})

t.test('knows whether the reading end of a FIFO is its own', async (t) => {
  const fifo = makeFifo(t)
  t.equal(holdsReadingEnd(fifo.writeFd), true)
  fifo.closeRead()
  t.equal(holdsReadingEnd(fifo.writeFd), false)
})
