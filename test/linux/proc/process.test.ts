import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { execaSync } from 'execa'
import t from 'tap'
import {
  bootId,
  processCommand,
  processContainer,
  processIds,
  processStartDate,
  processStartTime,
  processVariables,
  processSockets,
} from '../../../src/linux/proc/process.js'
import { listeningDescriptor } from '../../lib/sockets.js'

t.test('this process', async (t) => {
  const { pid } = process
  t.ok(processIds().includes(pid))
  t.equal(processCommand(pid)?.[0], process.execPath)
  t.equal(processContainer(pid), undefined)
  t.match(bootId(), /^[0-9a-f-]{36}$/)
  const age = Date.now() - (processStartDate(pid) ?? 0)
  t.ok(age > -2000 && age < 600_000, `${age} ms old`)
  const { fd } = await listeningDescriptor(t, { host: '127.0.0.1' })
  t.ok(processSockets(pid).get(fd))
})

t.test('some of its variables, however many it has', async (t) => {
  const many = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [`VARIABLE_${i}`, 'x'.repeat(100)]),
  )
  for (const env of [
    { FIRST: 'one', AN_EMPTY: '', IN_UTF8: 'ä=b', NOT_FIRST: 'two' },
    { ...many, FIRST: 'one', AN_EMPTY: '', IN_UTF8: 'ä=b', NOT_FIRST: 'two' },
  ]) {
    const child = spawn('/bin/cat', { env, stdio: 'pipe' })
    t.teardown(() => child.kill('SIGKILL'))
    await once(child, 'spawn')
    t.strictSame(
      processVariables(child.pid ?? 0, ['FIRST', 'EMPTY', 'AN_EMPTY', 'IN_UTF8', 'IRST']),
      { FIRST: 'one', AN_EMPTY: '', IN_UTF8: 'ä=b' },
    )
  }
  t.strictSame(processVariables(process.pid, ['PATH']), { PATH: process.env['PATH'] })
})

t.test('one whose name is odd', async (t) => {
  const child = spawn('/bin/sh', ['-c', 'printf "a) R 1 (" >/proc/self/comm; read -r _'], {
    stdio: 'pipe',
  })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  t.ok(Number.isInteger(processStartTime(child.pid ?? 0)))
})

t.test('one that is gone, or a zombie', async (t) => {
  const pid = Number(execaSync('/bin/sh', ['-c', 'echo $$']).stdout)
  t.equal(processStartTime(pid), undefined)
  t.equal(processCommand(pid), undefined)
  t.equal(processSockets(pid).size, 0)
  t.strictSame(processVariables(pid, ['PATH']), {})
})
