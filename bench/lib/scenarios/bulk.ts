import { missingBackend } from '../backends.js'
import { CommandError, output, type Command } from '../child.js'
import { hasOwnEngine } from '../peer.js'
import type { Traffic } from '../scenario.js'
import type { Site } from '../site.js'
import { GIB } from '../units.js'

const IPERF = '/usr/bin/iperf3'

/** The server takes one test at a time, and may still be ending the last one, milliseconds. */
const BUSY_MS = 3_000
const PAUSE_MS = 100

/** The report of iperf3. */
interface Report {
  readonly error?: string
  readonly end?: {
    readonly sum_received?: { readonly bits_per_second: number; readonly bytes: number }
  }
}

/** @throws Error with iperf3's own message, which is part of its report */
async function transfer(command: Command): Promise<{ bits_per_second: number; bytes: number }> {
  for (const end = performance.now() + BUSY_MS; ;) {
    const report = await output(command).catch((err: unknown) => {
      if (err instanceof CommandError) return err.stdout
      throw err
    })
    const { error = 'it has received nothing', end: sums } = JSON.parse(report || '{}') as Report
    if (sums?.sum_received) return sums.sum_received
    if (performance.now() > end) throw new Error(`iperf3: ${error}`)
    await new Promise((done) => setTimeout(done, PAUSE_MS))
  }
}

/** The command that sends data until it is stopped. */
export function endlessBulk(site: Site, port: number): Command {
  return site.load(IPERF, '--client', site.hostIp, '--port', String(port), '--time', '3600')
}

/** @param isReverse whether the data flows from the container */
function bulk(name: string, streams: number, isReverse: boolean): Traffic {
  const way = isReverse ? 'from' : 'to'
  return {
    kind: 'traffic',
    name,
    group: 'bulk',
    title: `bulk, ${streams === 1 ? 'one stream' : `${streams} streams`} ${way} the container`,
    load: 'iperf3, which takes whole seconds',
    backend: 'bulk',
    figures: [{ key: 'rate', title: 'throughput', unit: 'Gbit/s', better: 'more' }],
    cost: { unit: 's/GiB', scale: 1 },
    missing: () => missingBackend('bulk'),
    suits: hasOwnEngine,
    async measure(port, { site }, seconds) {
      const command = site.load(
        ...[IPERF, '--json', '--client', site.hostIp, '--port', String(port)],
        ...['--time', String(Math.ceil(seconds)), '--parallel', String(streams)],
        ...(isReverse ? ['--reverse'] : []),
      )
      const { bits_per_second: rate, bytes } = await transfer(command)
      return { figures: { rate: rate / 1e9 }, work: bytes / GIB }
    },
  }
}

export const BULK: readonly Traffic[] = [
  bulk('bulk1', 1, false),
  bulk('bulk1r', 1, true),
  bulk('bulk8', 8, false),
  bulk('bulk8r', 8, true),
]
