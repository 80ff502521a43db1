import { getSystemErrorMap } from 'node:util'
import t from 'tap'
import { errnoCode, errnoReason, REASONS } from '../../src/linux/errno.js'

t.test('errors of system calls in the words of strerror', async (t) => {
  const failed = Object.assign(new Error('listen EADDRINUSE: …'), { code: 'EADDRINUSE' })
  t.equal(errnoCode(failed), 'EADDRINUSE')
  t.equal(errnoReason(failed), 'address already in use')
})

t.test('other errors speak for themselves', async (t) => {
  t.equal(errnoCode(new Error('odd')), undefined)
  t.equal(errnoCode('odd'), undefined)
  t.equal(errnoReason(new Error('odd')), 'odd')
  t.equal(errnoReason('odd'), 'odd')
})

t.test('every reason belongs to an error that exists', async (t) => {
  const known = new Set([...getSystemErrorMap().values()].map(([name]) => name))
  for (const code of Object.keys(REASONS)) t.ok(known.has(code), code)
})
