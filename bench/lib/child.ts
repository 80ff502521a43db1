import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/*
 * Processes that are measured, and load generators. Each has a process group of its own, so that its children end
 * with it. None outlives the benchmark, unless the benchmark is killed with SIGKILL.
 */

/** Time that a process has to end, milliseconds. */
const END_MS = 10_000

/**
 * About as small as dockerd's environment under systemd: the user's own environment must not cost time or memory here. No proxy starts a
 * docker-proxyd, unless the scenario wants it.
 */
const ENVIRONMENT = { PATH: process.env['PATH'], DOCKER_PROXY_ON_DEMAND: 'no' }

/** The running processes, and the signal that ends each. */
const children = new Map<ChildProcess, NodeJS.Signals>()
let isEnding = false
process.on('exit', endAll)

/** Ends everything that runs, and prevents new starts. */
export function endAll(): void {
  isEnding = true
  for (const [child, signal] of children) killGroup(child, signal)
}

/**
 * Runs a task, and ends the processes that it has started if it takes too long.
 * @throws Error in that case
 */
export async function withinSeconds<T>(seconds: number, work: () => Promise<T>): Promise<T> {
  const before = new Set(children.keys())
  const tooLate = new Error(`it was not over after ${seconds} s`)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(tooLate), seconds * 1000)
  })
  const result = work()
  try {
    return await Promise.race([result, late])
  } catch (err) {
    if (err === tooLate) {
      for (const child of children.keys()) if (!before.has(child)) killGroup(child)
      const ended = result.catch(() => undefined)
      await Promise.race([ended, new Promise((done) => setTimeout(done, END_MS).unref())])
    }
    throw err
  } finally {
    clearTimeout(timer)
  }
}

/** A program and its arguments. */
export type Command = readonly [program: string, ...args: string[]]

/**
 * Starts a program that runs until `stopChild`. `endsBy` is for a program that has something to clean up. Descriptor 3 is docker-proxy's status pipe: `stdio[3]`.
 */
export function startChild(
  command: Command,
  env: NodeJS.ProcessEnv = {},
  endsBy: NodeJS.Signals = 'SIGKILL',
): ChildProcess {
  refuseAtTheEnd()
  const [program, ...args] = command
  const child = spawn(program, args, {
    env: { ...ENVIRONMENT, ...env },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    detached: true,
  })
  child.stdio[3]?.on('error', () => undefined)
  return keep(child, endsBy)
}

/** A program that is controlled by lines on its stdin, and answers on its stdout. */
export function startDialog(command: Command): ChildProcess {
  refuseAtTheEnd()
  const [program, ...args] = command
  const stdio = ['pipe', 'pipe', 'ignore'] as const
  return keep(spawn(program, args, { env: ENVIRONMENT, stdio: [...stdio], detached: true }))
}

/**
 * Starts a program that runs until it is stopped, and waits for its first output.
 * @param fault the message if it ends before that
 */
export async function startReady(command: Command, fault: string): Promise<ChildProcess> {
  const child = startDialog(command)
  const ready = child.stdout ? once(child.stdout, 'data') : undefined
  const failed = once(child, 'close').then(() => {
    throw new Error(fault)
  })
  await Promise.race([ready, failed])
  failed.catch(() => undefined) // That is its end.
  return child
}

export async function stopChild(child: ChildProcess): Promise<void> {
  const ended = child.exitCode !== null || child.signalCode !== null || child.pid === undefined
  const exit = ended ? undefined : once(child, 'exit')
  killGroup(child)
  await exit
}

/** A program failed. */
export class CommandError extends Error {
  override readonly name = 'CommandError'

  constructor(
    message: string,
    /** Its output so far. */
    readonly stdout: string,
  ) {
    super(message)
  }
}

/**
 * Runs a program to its end.
 * @param until `signal` aborts it; after `interruptAfter`, seconds, it is interrupted and its result counts
 * @returns its output
 * @throws CommandError with its last message if it fails; Error if it can't be run
 */
export async function output(
  command: Command,
  until: { readonly signal?: AbortSignal; readonly interruptAfter?: number } = {},
): Promise<string> {
  refuseAtTheEnd()
  const { signal, interruptAfter } = until
  const [program, ...args] = command
  const child = keep(
    spawn(program, args, {
      env: ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...(signal ? { signal } : {}),
    }),
  )
  const interrupt =
    interruptAfter === undefined
      ? undefined
      : setTimeout(() => killGroup(child, 'SIGINT'), interruptAfter * 1000)
  child.on('close', () => clearTimeout(interrupt))
  let text = ''
  let complaints = ''
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (complaints += chunk.toString()))
  const [status, killedBy] = (await once(child, 'close')) as [number | null, string | null]
  if (status === 0) return text
  const last = (complaints || text).trim().split('\n').at(-1) ?? ''
  throw new CommandError(
    `${program} ended with ${killedBy ?? String(status)}: ${last.slice(0, 300)}`,
    text,
  )
}

/** How a child has ended, if it has. */
export function howItEnded({ exitCode, signalCode }: ChildProcess): string | undefined {
  if (signalCode) return `ended by ${signalCode}`
  return exitCode === null ? undefined : `ended with status ${exitCode}`
}

/**
 * Runs a task that needs some processes.
 * @throws Error that says how one of them has ended, whatever other error the task has met
 */
export async function whileRunning<T>(
  processes: readonly ChildProcess[],
  work: () => Promise<T>,
): Promise<T> {
  const throwIfEnded = (): void => {
    const ended = processes.map(howItEnded).find((how) => how !== undefined)
    if (ended) throw new Error(`it ${ended}`)
  }
  try {
    const result = await work()
    throwIfEnded()
    return result
  } catch (err) {
    throwIfEnded()
    throw err
  }
}

function refuseAtTheEnd(): void {
  if (isEnding) throw new Error('the benchmark is being ended')
}

function keep(child: ChildProcess, endsBy: NodeJS.Signals = 'SIGKILL'): ChildProcess {
  child.on('error', () => undefined) // Told by those who wait for it: once() rejects, a start is checked.
  children.set(child, endsBy)
  child.on('exit', () => children.delete(child))
  return child
}

function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // The whole process group has ended.
  }
}
