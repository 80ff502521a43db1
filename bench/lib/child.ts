import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/*
 * Processes that are measured, or that measure. Each has a process group of its own, so that what it starts itself goes
 * with it; none outlives the benchmark.
 */

// Node reads extra certificates at every start; that is nobody's time here.
const ENVIRONMENT = { ...process.env }
delete ENVIRONMENT['NODE_EXTRA_CA_CERTS']

const children = new Set<ChildProcess>()
process.on('exit', killAll)

/** Ends all that is running, so that whoever waits for it goes on. */
export function killAll(): void {
  for (const child of children) killGroup(child)
}

/** A program and its arguments. */
export type Command = readonly [program: string, ...args: string[]]

/**
 * Starts a program that runs until `stopChild`. Descriptor 3 is the status pipe, which docker-proxy needs; it is `stdio[3]`.
 */
export function startChild(command: Command, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const [program, ...args] = command
  const child = spawn(program, args, {
    env: { ...ENVIRONMENT, ...env },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    detached: true,
  })
  child.stdio[3]?.on('error', () => undefined)
  return keep(child)
}

/** A program that is spoken to by lines: on its stdin, and from its stdout. */
export function startDialog(command: Command): ChildProcess {
  const [program, ...args] = command
  const stdio = ['pipe', 'pipe', 'ignore'] as const
  return keep(spawn(program, args, { env: ENVIRONMENT, stdio: [...stdio], detached: true }))
}

export async function stopChild(child: ChildProcess): Promise<void> {
  const ended = child.exitCode !== null || child.signalCode !== null || child.pid === undefined
  const exit = ended ? undefined : once(child, 'exit')
  killGroup(child)
  await exit
}

/**
 * Runs a program to its end, or until `signal` says that it is of no use any more.
 * @returns what it printed
 * @throws Error when it can't be run, or fails, with what it said last
 */
export async function output(command: Command, signal?: AbortSignal): Promise<string> {
  const [program, ...args] = command
  const child = keep(
    spawn(program, args, {
      env: ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...(signal ? { signal } : {}),
    }),
  )
  let text = ''
  let complaints = ''
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (complaints += chunk.toString()))
  const [status, killedBy] = (await once(child, 'close')) as [number | null, string | null]
  if (status === 0) return text
  const last = (complaints || text).trim().split('\n').at(-1) ?? ''
  throw new Error(`${program} ended with ${killedBy ?? String(status)}: ${last.slice(0, 300)}`)
}

/** How a child has ended, where it has. */
export function howItEnded({ exitCode, signalCode }: ChildProcess): string | undefined {
  if (signalCode) return `ended by ${signalCode}`
  return exitCode === null ? undefined : `ended with status ${exitCode}`
}

function keep(child: ChildProcess): ChildProcess {
  child.on('error', () => undefined) // Told by those who wait for it: once() rejects, a start is checked.
  children.add(child)
  child.on('exit', () => children.delete(child))
  return child
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}
