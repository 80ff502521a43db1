import { setTimeout as delay } from 'node:timers/promises'
import type { CommandModule } from 'yargs'
import type { Client } from '../../api/client.js'
import type { ConnectionView } from '../../api/schemas.js'
import { parseDuration } from '../../duration.js'
import { printableJson } from '../../printable.js'
import { formatPorts } from '../ports-column.js'
import { openClient, withClient, withFormat, type ClientArgs } from '../options.js'
import { print } from '../output.js'
import { Rates } from '../rates.js'
import { formatSize } from '../size.js'
import { formatTable } from '../table.js'
import { UsageError } from '../usage-error.js'

interface Args extends ClientArgs {
  name: string | undefined
  interval: string
  stream: boolean
  format: 'table' | 'json'
}

/** The interval of two tables, milliseconds. */
const SHORTEST_MS = 100
const LONGEST_MS = 3_600_000
/** Of a terminal: moves to its first line, and clears the rest of a line, and of the screen. */
const HOME = '\x1b[H'
const CLEAR_LINE = '\x1b[K'
const CLEAR_REST = '\x1b[J'

const PORT_HEADER = ['NAME', 'PORT', 'CONNECTIONS', 'NEW/S', 'FROM CLIENTS', 'TO CLIENTS']
const CONNECTION_HEADER = ['CLIENT', 'PORT', 'FROM CLIENT', 'TO CLIENT', 'NET I/O']

export const topCommand: CommandModule<object, Args> = {
  command: 'top [name]',
  describe: 'Show the traffic of ports, or of the connections of a publication, until Ctrl-C',
  builder: (yargs) =>
    withFormat(withClient(yargs))
      .positional('name', { type: 'string', describe: 'name of a publication' })
      .option('interval', {
        type: 'string',
        requiresArg: true,
        default: '1s',
        describe: 'time between two tables, in which rates are measured, for example 5s',
      })
      .option('stream', {
        type: 'boolean',
        default: true,
        describe: '--no-stream shows one table, and ends',
      })
      .example('$0 top', 'the ports with the most traffic first')
      .example('$0 top web_svr01', 'its TCP connections with the most traffic first'),
  handler: async (args) => {
    const intervalMs = intervalOf(args.interval)
    const client = openClient(args)
    const view = args.name === undefined ? portsView(client) : connectionsView(client, args.name)
    // A rate is the difference of two reads.
    await view()
    const isLive = args.stream && process.stdout.isTTY
    do {
      await delay(intervalMs)
      const { header, rows, records } = await view()
      if (args.format === 'json') await print(printableJson(JSON.stringify(records)))
      else if (isLive) show(formatTable(header, rows))
      else await print(formatTable(header, rows))
    } while (args.stream)
  },
}

/** A table, and the same for programs. The rows with the most traffic come first. */
interface View {
  readonly header: readonly string[]
  readonly rows: readonly (readonly string[])[]
  readonly records: readonly object[]
}

/** @returns milliseconds @throws UsageError */
function intervalOf(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined && ms >= SHORTEST_MS && ms <= LONGEST_MS) return ms
  throw new UsageError(
    `invalid --interval ${JSON.stringify(text)}: expected a time from 100ms to 1h, for example 5s`,
  )
}

/** Looks at all ports. */
function portsView(client: Client): () => Promise<View> {
  const rates = new Rates()
  return async () => {
    const publications = await client.list()
    const all = publications.flatMap(({ name, ports }) =>
      ports.map((port) => ({ name, port, key: `${name} ${formatPorts([port])}` })),
    )
    const rateOf = rates.next(
      new Map(
        all.map(({ key, port: { accepted = 0, bytesIn = 0, bytesOut = 0 } }) => [
          key,
          [accepted, bytesIn, bytesOut],
        ]),
      ),
    )
    const ports = all.map(({ name, port, key }) => {
      // Docker's own docker-proxy counts nothing.
      const rate = port.accepted === undefined ? undefined : rateOf(key)
      const [acceptedPerS, bytesInPerS, bytesOutPerS] = rate?.map(Math.round) ?? []
      const { connections } = port
      return {
        name,
        port: formatPorts([port]),
        connections,
        acceptedPerS,
        bytesInPerS,
        bytesOutPerS,
      }
    })
    ports.sort((a, b) => traffic(b) - traffic(a) || b.connections - a.connections)
    return {
      header: PORT_HEADER,
      rows: ports.map((each) => [
        ...[each.name, each.port, String(each.connections)],
        ...[each.acceptedPerS === undefined ? '-' : String(each.acceptedPerS)],
        ...[formatRate(each.bytesInPerS), formatRate(each.bytesOutPerS)],
      ]),
      records: ports,
    }
  }
}

/** Looks at the TCP connections of a publication. */
function connectionsView(client: Client, name: string): () => Promise<View> {
  const rates = new Rates()
  return async () => {
    const all = await client.connections(name)
    const keyOf = (each: ConnectionView): string => `${each.client} ${each.host}`
    const rateOf = rates.next(
      new Map(all.map((each) => [keyOf(each), [each.bytesIn ?? 0, each.bytesOut ?? 0]])),
    )
    const connections = all.map((each) => {
      const [bytesInPerS, bytesOutPerS] = rateOf(keyOf(each))?.map(Math.round) ?? []
      return { ...each, bytesInPerS, bytesOutPerS }
    })
    connections.sort((a, b) => traffic(b) - traffic(a))
    return {
      header: CONNECTION_HEADER,
      rows: connections.map(({ client: address, host, ...each }) => [
        ...[address, host, formatRate(each.bytesInPerS), formatRate(each.bytesOutPerS)],
        `${formatSize(each.bytesIn ?? 0)} / ${formatSize(each.bytesOut ?? 0)}`,
      ]),
      records: connections,
    }
  }
}

function traffic({ bytesInPerS = 0, bytesOutPerS = 0 }: TrafficRates): number {
  return bytesInPerS + bytesOutPerS
}

interface TrafficRates {
  readonly bytesInPerS?: number | undefined
  readonly bytesOutPerS?: number | undefined
}

function formatRate(bytesPerS: number | undefined): string {
  return bytesPerS === undefined ? '-' : `${formatSize(bytesPerS)}/s`
}

/** Draws a table over the last one. Rows and columns beyond the terminal's size are left out. */
function show(table: string): void {
  const { rows, columns } = process.stdout
  // A terminal of unknown size reports 0.
  const lines = table.split('\n').slice(0, (rows || Infinity) - 1)
  const text = lines.map((line) => line.slice(0, columns || Infinity) + CLEAR_LINE).join('\n')
  process.stdout.write(`${HOME}${text}\n${CLEAR_REST}`)
}
