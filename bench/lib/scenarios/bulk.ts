import { missingBackend } from '../backends.js'
import { CommandError, output, type Command } from '../child.js'
import type { Traffic } from '../scenario.js'
import { GIB } from '../units.js'

const IPERF = '/usr/bin/iperf3'

/** The server takes one test at a time, and may be with the end of the last one for a moment, milliseconds. */
const BUSY_MS = 3_000
const PAUSE_MS = 100

async function outputOfFree(command: Command): Promise<string> {
  for (const end = performance.now() + BUSY_MS; ;) {
    try {
      return await output(command)
    } catch (err) {
      if (performance.now() > end) throw toldBy(err)
      await new Promise((done) => setTimeout(done, PAUSE_MS))
    }
  }
}

/** What iperf3 says of its failure stands in what it prints. */
function toldBy(err: unknown): unknown {
  if (!(err instanceof CommandError)) return err
  const reason = /"error":\s*"([^"]+)"/.exec(err.stdout)?.[1]
  return reason === undefined ? err : new Error(`iperf3: ${reason}`, { cause: err })
}

/** @param isReverse whether the data flows from the container */
function bulk(name: string, streams: number, isReverse: boolean): Traffic {
  const way = isReverse ? 'from' : 'to'
  return {
    kind: 'traffic',
    name,
    group: 'bulk',
    title: `bulk, ${streams === 1 ? 'one stream' : `${streams} streams`} ${way} the container`,
    load: 'iperf3',
    backend: 'bulk',
    figures: [{ key: 'rate', title: 'throughput', unit: 'Gbit/s', better: 'more' }],
    cost: { unit: 's/GiB', scale: 1 },
    missing: () => missingBackend('bulk'),
    async measure(port, { site }, seconds) {
      const command = site.load(
        ...[IPERF, '--json', '--client', '127.0.0.1', '--port', String(port)],
        ...['--time', String(seconds), '--parallel', String(streams)],
        ...(isReverse ? ['--reverse'] : []),
      )
      const { end } = JSON.parse(await outputOfFree(command)) as {
        end: { sum_received: { bits_per_second: number; bytes: number } }
      }
      return {
        figures: { rate: end.sum_received.bits_per_second / 1e9 },
        work: end.sum_received.bytes / GIB,
      }
    },
  }
}

export const BULK: readonly Traffic[] = [
  bulk('bulk1', 1, false),
  bulk('bulk1r', 1, true),
  bulk('bulk8', 8, false),
  bulk('bulk8r', 8, true),
]
