import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bootId } from '../../src/linux/proc/process.js'
import {
  newProcessId,
  PORT_VARIABLE,
  RuntimeFiles,
  runtimeIds,
} from '../../src/supervisor/runtime-record.js'
import { identify, isAlive, type ProcessIdentity } from '../../src/linux/proc/process-identity.js'

/** A process that was started for a port, and ends with the test. */
async function startFor(
  t: Test,
  base: string,
): Promise<ProcessIdentity & { end(): Promise<void> }> {
  const child = spawn('/bin/sh', ['-c', 'echo; read -r _'], {
    env: { [PORT_VARIABLE]: base },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const exit = once(child, 'exit')
  const end = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exit
  }
  t.teardown(end)
  await once(child.stdout, 'data')
  const identity = identify(child.pid ?? 0)
  if (!identity) throw new Error('the process has ended')
  return { ...identity, end }
}

const record = (proxy: ProcessIdentity, boot = bootId()) => ({
  bootId: boot,
  proxy: { pid: proxy.pid, startTime: proxy.startTime },
  shim: { pid: proxy.pid, startTime: proxy.startTime },
  socketInodes: [1, 2],
})

t.test('a record of a process that still runs is read again', async (t) => {
  const folder = t.testdir()
  const files = new RuntimeFiles(folder, 'a')
  const proxy = await startFor(t, files.base)
  files.save(record(proxy))
  t.equal(statSync(`${files.base}.json`).mode & 0o777, 0o600)
  t.strictSame(files.liveRecord(), record(proxy))
  await proxy.end()
  t.equal(files.liveRecord(), undefined)
})

t.test(
  'a record is not of this process if the boot, the start time or the port differs',
  async (t) => {
    const folder = t.testdir()
    const files = new RuntimeFiles(folder, 'a')
    const proxy = await startFor(t, files.base)
    files.save(record(proxy, 'another boot'))
    t.equal(files.liveRecord(), undefined)
    files.save(record({ ...proxy, startTime: proxy.startTime - 1 }))
    t.equal(files.liveRecord(), undefined)
    const other = await startFor(t, join(folder, 'b'))
    files.save(record(other))
    t.equal(files.liveRecord(), undefined)
  },
)

t.test('a record that was cut off is none', async (t) => {
  const files = new RuntimeFiles(t.testdir(), 'a')
  t.equal(files.liveRecord(), undefined, 'there is no file')
  writeFileSync(`${files.base}.json`, '{"bootId": "')
  t.equal(files.liveRecord(), undefined)
})

t.test('the pid that the shim has noted counts only for a process of this port', async (t) => {
  const folder = t.testdir()
  const files = new RuntimeFiles(folder, 'a')
  t.equal(files.proxy(), undefined)
  const proxy = await startFor(t, files.base)
  writeFileSync(`${files.base}.pid`, `${proxy.pid}\n`)
  t.match(files.proxy(), { pid: proxy.pid, startTime: proxy.startTime })
  writeFileSync(`${files.base}.pid`, `${process.pid}\n`)
  t.equal(files.proxy(), undefined)
  writeFileSync(`${files.base}.pid`, 'nonsense')
  t.equal(files.proxy(), undefined)
})

t.test('exit status, ids and removal', async (t) => {
  const folder = t.testdir()
  const [id, other] = [newProcessId(), newProcessId()]
  const files = new RuntimeFiles(folder, id)
  t.equal(files.exitStatus(), undefined)
  writeFileSync(`${files.base}.exit`, '137\n')
  t.equal(files.exitStatus(), 137)
  writeFileSync(join(folder, `${other}.pid`), '1')
  t.strictSame(runtimeIds(folder).sort(), [id, other].sort())
  files.remove()
  t.strictSame(readdirSync(folder), [`${other}.pid`])
  t.notOk(existsSync(files.socketPath))
})

t.test('only files with our names in our format are ours', async (t) => {
  const folder = t.testdir({
    'package.json': '{}',
    'sshd.pid': '1',
    'web.exit': '0',
    'X11.socket': '',
    [`${newProcessId()}.json`]: '{"name":"web"}',
    [`${newProcessId()}.pid`]: 'pid=1',
    [`${newProcessId()}.pid.bak`]: '1',
    [`${newProcessId()}.constructor`]: '1',
    [`${newProcessId()}.socket`]: 'no socket',
    [`${newProcessId()}.exit`]: { file: '1' },
  })
  t.strictSame(runtimeIds(folder), [])
  const cutOff = newProcessId()
  writeFileSync(join(folder, `${cutOff}.json`), '{"boo')
  t.strictSame(runtimeIds(folder), [cutOff], 'a full disk may have cut it off')
})

t.test('a process is identified by its pid and start time', async (t) => {
  const own = identify(process.pid)
  t.ok(own && isAlive(own))
  t.notOk(own && isAlive({ ...own, startTime: own.startTime + 1 }))
  t.equal(identify(2 ** 22 + 1), undefined)
})
