import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { once } from 'node:events'
import { privateMemory } from './lib/child.js'
import { median } from './lib/statistics.js'

/*
 * What a proxy costs before its first connection: the time from exec to `0\n` on the status pipe, and
 * the private memory it then holds. Rounds are interleaved, so that what else the machine does falls on all.
 */

const ROUNDS = Number(process.argv[2] ?? 15)
const NODE = 'node -e 0'
const PROXY_FLAGS = [
  ...['-proto', 'tcp', '-host-ip', '127.0.0.1', '-host-port', '0'],
  ...['-container-ip', '127.0.0.1', '-container-port', '80'],
]

interface Candidate {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  /** Whether it stays and tells when it is ready; otherwise its whole run is measured. */
  readonly isProxy: boolean
}

interface Measured {
  readonly milliseconds: number
  readonly privateBytes: number
}

const candidates: Candidate[] = [
  { name: NODE, command: process.execPath, args: ['-e', '0'], isProxy: false },
  { name: 'docker-proxy, this one', command: resolve('dist/docker-proxy') },
  { name: "docker-proxy, Docker's", command: process.env['ORIGINAL'] ?? '/usr/sbin/docker-proxy' },
].map((candidate) => ({ args: PROXY_FLAGS, isProxy: true, ...candidate }))

// Node reads extra certificates at every start; that is neither ours nor the original's time.
const env = { ...process.env }
delete env['NODE_EXTRA_CA_CERTS']

function start({ command, args }: Candidate): ChildProcess {
  return spawn(command, args, { env, stdio: ['ignore', 'ignore', 'ignore', 'pipe'] })
}

async function measure(candidate: Candidate): Promise<Measured> {
  const started = performance.now()
  const child = start(candidate)
  const exit = once(child, 'exit')
  if (!candidate.isProxy) {
    await exit
    return { milliseconds: performance.now() - started, privateBytes: NaN }
  }
  const [status] = (await once(child.stdio[3] as Readable, 'data')) as [Buffer]
  const milliseconds = performance.now() - started
  if (status.toString() !== '0\n') throw new Error(`${candidate.name}: ${status.toString()}`)
  // Idle is when it has nothing left to do: it sleeps. That shows in its processor time standing still.
  await untilIdle(child.pid ?? 0)
  const privateBytes = privateMemory(child.pid ?? 0)
  child.kill('SIGINT')
  await exit
  return { milliseconds, privateBytes }
}

async function untilIdle(pid: number): Promise<void> {
  for (let before = ''; ;) {
    await new Promise((done) => setTimeout(done, 50))
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    const processorTime = fields.slice(11, 13).join()
    if (processorTime === before) return
    before = processorTime
  }
}

async function main(): Promise<void> {
  const present = candidates.filter(({ command }) => existsSync(command))
  const results = new Map<string, Measured[]>(present.map(({ name }) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const candidate of present) results.get(candidate.name)?.push(await measure(candidate))
  }
  const figures = [...results].map(([name, rounds]) => ({
    name,
    milliseconds: median(rounds.map((r) => r.milliseconds)),
    megabytes: median(rounds.map((r) => r.privateBytes)) / 1e6,
  }))
  const base = figures.find(({ name }) => name === NODE)?.milliseconds ?? NaN
  console.log(`medians of ${ROUNDS} rounds, Node ${process.version}\n`)
  console.log('PROGRAM                  TO READY   RATIO   PRIVATE')
  for (const { name, milliseconds, megabytes } of figures) {
    const memory = Number.isNaN(megabytes) ? '-' : `${megabytes.toFixed(1)} MB`
    console.log(
      [
        name.padEnd(22),
        `${milliseconds.toFixed(1)} ms`.padStart(10),
        (milliseconds / base).toFixed(2).padStart(7),
        memory.padStart(9),
      ].join(' '),
    )
  }
}

void main()
