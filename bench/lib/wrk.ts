import { expectAnswers } from './answers.js'
import { missingBackend } from './backends.js'
import { output, type Command } from './child.js'
import { missingProgram } from './peer.js'
import type { Site } from './site.js'

const WRK = '/usr/bin/wrk'
const MICROSECONDS = { us: 1, ms: 1_000, s: 1_000_000 }

/** @returns why wrk can't be used here, and what to do about it */
export function missingWrk(): string | undefined {
  return missingBackend('http') ?? missingProgram(WRK, 'wrk')
}

/** The command that keeps connections busy until it is stopped. */
export function busyCommand(site: Site, port: number, connections: number): Command {
  return site.load(
    ...[WRK, '--threads', '1', '--connections', String(connections), '--duration', '3600s'],
    `http://${site.hostIp}:${port}/`,
  )
}

/**
 * Sends HTTP requests with wrk, one after the other on each connection.
 * @param isEach whether each request has a connection of its own
 * @returns requests per second, their 99th percentile in microseconds, and the number of requests
 */
export async function runWrk(
  site: Site,
  port: number,
  connections: number,
  seconds: number,
  isEach: boolean,
): Promise<{ figures: { rate: number; p99: number }; work: number }> {
  const command = site.load(
    ...[WRK, '--threads', '1', '--connections', String(connections), '--latency'],
    // It accepts whole seconds only, and reports what it has done when it is interrupted.
    ...['--duration', `${Math.ceil(seconds) + 1}s`],
    ...(isEach ? ['--header', 'Connection: close'] : []),
    `http://${site.hostIp}:${port}/`,
  )
  const text = await output(command, { interruptAfter: seconds })
  const [, p99 = '', unit = 'us'] = /99%\s+([\d.]+)(us|ms|s)/.exec(text) ?? []
  const work = Number(/(\d+) requests in/.exec(text)?.[1])
  const socketErrors = /Socket errors: (.*)/.exec(text)?.[1]?.match(/\d+/g) ?? []
  const refused = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0
  const failed = [...socketErrors, refused].reduce<number>((sum, n) => sum + Number(n), 0)
  expectAnswers(connections, work, failed)
  return {
    figures: {
      rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
      p99: Number(p99) * MICROSECONDS[unit as keyof typeof MICROSECONDS],
    },
    work,
  }
}
