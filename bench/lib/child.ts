import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { readFileSync } from 'node:fs'

/*
 * Processes that are measured, or that measure. None outlives the benchmark.
 */

// Node reads extra certificates at every start; that is nobody's time here.
const ENVIRONMENT = { ...process.env }
delete ENVIRONMENT['NODE_EXTRA_CA_CERTS']
/** Ticks of the processor's time in /proc, a second; it is 100 on every Linux there is, see sysconf(3). */
const TICKS_PER_SECOND = 100

const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Starts a program that runs until `stopChild`. Descriptor 3 is a pipe that is read to nowhere: Docker's own proxy needs one. */
export function startChild(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): ChildProcess {
  const child = spawn(command, args, {
    env: { ...ENVIRONMENT, ...env },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  })
  child.on('error', (err) => {
    console.error(`${command}: ${err.message}`)
    process.exit(1)
  })
  const status = child.stdio[3]
  if (status && 'resume' in status) status.resume()
  children.add(child)
  child.on('exit', () => children.delete(child))
  return child
}

export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

/** Runs a program to its end, and returns what it printed. */
export async function output(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'ignore'] })
  children.add(child)
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(child, 'close')
  children.delete(child)
  return text
}

/** Waits until somebody accepts connections there. */
export async function untilListening(port: number): Promise<void> {
  for (const end = performance.now() + 10_000; ;) {
    const socket = connect({ port, host: '127.0.0.1' })
    try {
      await once(socket, 'connect')
      return
    } catch (err) {
      if (performance.now() > end) throw err
      await new Promise((done) => setTimeout(done, 20))
    } finally {
      socket.destroy()
    }
  }
}

/** Time of the processors that a process and all its threads have used so far, seconds. */
export function processorSeconds(pid: number): number {
  // utime and stime of proc(5), `/proc/PID/stat`, counted from behind the name.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** Memory that a process shares with no other, bytes. */
export function privateMemory(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  return Number(/^Private_Dirty:\s+(\d+)/m.exec(rollup)?.[1]) * 1024
}
