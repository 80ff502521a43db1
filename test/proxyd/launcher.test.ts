import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { FileId } from '../../src/linux/proc/descriptors.js'
import { requireCheckedSyscalls } from '../../src/linux/ffi/checked-syscalls.js'
import { CONTROL_FD } from '../../src/proxyd/launcher-descriptors.js'
import { Launcher, NotALauncherError, launchersOf } from '../../src/proxyd/launcher.js'
import { processIds, processParent } from '../../src/linux/proc/process.js'
import { kill } from '../lib/proc.js'
import { until } from '../lib/until.js'

/** A waiting script with a control pipe as descriptor 9, under a given name and with given arguments. */
function startScript(
  t: Test,
  name: string,
  args: readonly string[] = [],
  commands = 'echo ready\nread -r line <&0\n',
) {
  const folder = t.testdir()
  const controlPath = join(folder, 'control')
  requireCheckedSyscalls().makeFifo(controlPath, 0o600)
  const control = openSync(controlPath, constants.O_RDWR)
  const script = join(folder, name)
  writeFileSync(script, commands)
  const stdio: ('pipe' | 'ignore' | number)[] = ['pipe', 'pipe', 'ignore']
  while (stdio.length < CONTROL_FD) stdio.push('ignore')
  const child = spawn('/bin/sh', [script, ...args], { stdio: [...stdio, control] })
  t.teardown(() => {
    closeSync(control)
    kill(child.pid)
  })
  return { child, pid: child.pid ?? 0, control: fstatSync(control), folder }
}

const ready = (child: ChildProcess): Promise<unknown> => once(child.stdout ?? child, 'data')

t.test('a launcher is known by its control pipe, its name and its flags', async (t) => {
  const flags =
    '-proto udp -host-ip 127.0.0.1 -host-port 53 -container-ip 127.0.0.2 -container-port 5353'
  const { child, pid, control } = startScript(t, 'docker-proxy', flags.split(' '))
  await ready(child)
  t.strictSame(launchersOf(control), [pid])
  const launcher = Launcher.open(pid, control)
  t.teardown(() => launcher.close())
  t.strictSame(launcher.publishedPort(), {
    protocol: 'udp',
    ip: '127.0.0.1',
    port: 53,
    container: { ip: '127.0.0.2', port: 5353 },
  })
  t.equal(launcher.copyListenFd(), undefined)
})

t.test('a process that a launcher has just forked is no launcher', async (t) => {
  const fork = '(\necho ready\nread -r line <&9\n) &\nwait\n'
  const { child, pid, control } = startScript(t, 'docker-proxy', [], fork)
  await ready(child)
  const forked = processIds().filter((each) => processParent(each) === pid)
  t.equal(forked.length, 1)
  t.strictSame(launchersOf(control), [pid])
  forked.forEach(kill)
})

t.test('help, the version and invalid flags are no port: the program answers', async (t) => {
  for (const args of [['-version'], ['-help'], ['-proto', 'icmp']]) {
    await t.test(args.join(' '), async (t) => {
      const { child, pid, control } = startScript(t, 'docker-proxy', args)
      await ready(child)
      const launcher = Launcher.open(pid, control)
      t.teardown(() => launcher.close())
      t.equal(launcher.publishedPort(), undefined)
    })
  }
})

t.test('no other process is taken for a launcher', async (t) => {
  const refuses = (pid: number, pipe: FileId, message: string): void => {
    t.throws(() => Launcher.open(pid, pipe), { message })
    t.throws(() => Launcher.open(pid, pipe), NotALauncherError)
  }
  const { child, pid, control, folder } = startScript(t, 'something-else')
  await ready(child)
  // Another pipe with the same name.
  mkdirSync(join(folder, 'other'))
  const path = join(folder, 'other/control')
  requireCheckedSyscalls().makeFifo(path, 0o600)
  const other = statSync(path)
  refuses(pid, control, 'the sender is not a docker-proxy')
  refuses(pid, other, 'the sender does not have the control pipe open')
  refuses(process.pid, control, 'the sender does not have the control pipe open')
  t.strictSame(launchersOf(other), [])

  child.stdin?.end('\n')
  await once(child, 'exit')
  await until(() => launchersOf(control).length === 0)
  refuses(pid, control, 'there is no such process')
})
