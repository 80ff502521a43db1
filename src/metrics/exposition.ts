import { Counter, Gauge, Registry } from 'prom-client'
import type { DockerPortView, PortView, PublicationView } from '../controller/views.js'
import { DURATION_BOUNDS_MS, type DurationReport } from '../proxy/durations.js'
import { Turns } from '../turns.js'
import { COMMIT, VERSION } from '../version.js'

/** The names of all metrics begin with it. */
const PREFIX = 'docker_publish_'
const MS_PER_S = 1_000
const PORT_LABELS = ['publication', 'publisher', 'protocol', 'host_ip', 'host_port'] as const
type PortLabels = Record<(typeof PORT_LABELS)[number], string>

/** A text for Prometheus. */
export interface Exposition {
  readonly contentType: string
  readonly text: string
}

/**
 * Formats the figures of all ports for Prometheus. A figure that a proxy does not report, like Docker's own docker-proxy, is left out.
 * @param dockerPorts ports that dockerd has published
 */
export async function exposeMetrics(
  publications: readonly PublicationView[],
  dockerPorts: readonly DockerPortView[],
): Promise<Exposition> {
  const registry = new Registry()
  const metrics = new PortMetrics(registry)
  const turns = new Turns()
  for (const { name, ports } of publications) {
    for (const port of ports) {
      if (turns.isOver) await turns.next()
      const labels = labelsOf(name, 'docker-publish', port)
      metrics.add(labels, port)
      metrics.addSupervised(labels, port)
    }
  }
  for (const port of dockerPorts) {
    if (turns.isOver) await turns.next()
    const owner = port.service ?? port.container ?? port.containerIp
    metrics.add(labelsOf(owner, 'docker', port), port)
  }
  return { contentType: registry.contentType, text: await registry.metrics() }
}

function labelsOf(
  publication: string,
  publisher: string,
  { protocol, hostIp, hostPort }: Pick<PortView, 'protocol' | 'hostIp' | 'hostPort'>,
): PortLabels {
  return { publication, publisher, protocol, host_ip: hostIp, host_port: String(hostPort) }
}

/** The metrics of one scrape. Their values are those of the proxies at present, so nothing is kept between scrapes. */
class PortMetrics {
  readonly #accepted: Counter
  readonly #open: Gauge
  readonly #received: Counter
  readonly #sent: Counter
  readonly #dialErrors: Counter
  readonly #refused: Counter
  readonly #restarts: Counter
  readonly #paused: Counter
  readonly #durations: Durations
  readonly #up: Gauge

  constructor(registry: Registry) {
    const options = (name: string, help: string, labelNames: readonly string[] = PORT_LABELS) => ({
      ...{ name: `${PREFIX}${name}`, help, labelNames: [...labelNames], registers: [registry] },
    })
    this.#accepted = new Counter(
      options('connections_total', 'Connections and UDP flows that were accepted.'),
    )
    this.#open = new Gauge(options('open_connections', 'Connections and UDP flows that are open.'))
    this.#received = new Counter(
      options('received_bytes_total', 'Bytes from clients, of open connections too.'),
    )
    this.#sent = new Counter(
      options('sent_bytes_total', 'Bytes to clients, of open connections too.'),
    )
    this.#dialErrors = new Counter(
      options('dial_errors_total', 'Dials of the container that failed, by reason.', [
        ...PORT_LABELS,
        'reason',
      ]),
    )
    this.#refused = new Counter(
      options('refused_connections_total', 'Clients that were disconnected, by reason.', [
        ...PORT_LABELS,
        'reason',
      ]),
    )
    this.#paused = new Counter(
      options(
        'paused_reads_total',
        'Pauses of reading: the side named by "slow" took no more data.',
        [...PORT_LABELS, 'slow'],
      ),
    )
    this.#durations = new Durations(
      `${PREFIX}connection_duration_seconds`,
      'Duration of closed connections and UDP flows.',
    )
    // A metric of its own kind, which the registry takes like all others.
    registry.registerMetric(this.#durations as unknown as Gauge)
    this.#restarts = new Counter(
      options('proxy_restarts_total', 'Restarts of the process that serves the port.'),
    )
    this.#up = new Gauge(options('port_up', '1 if a proxy serves the port, and 0 otherwise.'))
    new Gauge(
      options('build_info', 'The version of the daemon; the value is 1.', ['version', 'commit']),
    ).set({ version: VERSION, commit: COMMIT }, 1)
  }

  /** @param port without figures if its proxy reports none */
  add(labels: PortLabels, port: PortView | DockerPortView): void {
    const { connections, accepted, bytesIn, bytesOut, failedDialReasons = {} } = port
    const { deniedClients, excessClients, pausedIn, pausedOut, durations } = port
    this.#open.set(labels, connections)
    if (accepted !== undefined) this.#accepted.inc(labels, accepted)
    if (bytesIn !== undefined) this.#received.inc(labels, bytesIn)
    if (bytesOut !== undefined) this.#sent.inc(labels, bytesOut)
    if (deniedClients !== undefined) {
      this.#refused.inc({ ...labels, reason: 'not allowed' }, deniedClients)
    }
    if (excessClients !== undefined) {
      this.#refused.inc({ ...labels, reason: 'too many' }, excessClients)
    }
    if (pausedIn !== undefined) this.#paused.inc({ ...labels, slow: 'container' }, pausedIn)
    if (pausedOut !== undefined) this.#paused.inc({ ...labels, slow: 'client' }, pausedOut)
    if (durations) this.#durations.add(labels, durations)
    for (const [reason, count] of Object.entries(failedDialReasons)) {
      this.#dialErrors.inc({ ...labels, reason }, count)
    }
  }

  /** The figures of a port that the daemon supervises. */
  addSupervised(labels: PortLabels, { restarts, state }: PortView): void {
    this.#restarts.inc(labels, restarts)
    this.#up.set(labels, state === 'up' ? 1 : 0)
  }
}

/** A histogram of counts that the proxies report. prom-client's histogram takes single values alone. */
class Durations {
  readonly type = 'histogram'
  readonly aggregator = 'sum'
  readonly #values: { metricName: string; labels: Record<string, string>; value: number }[] = []

  constructor(
    readonly name: string,
    readonly help: string,
  ) {}

  add(labels: PortLabels, { counts, sumMs }: NonNullable<DurationReport['durations']>): void {
    let total = 0
    const bucket = `${this.name}_bucket`
    for (const [i, count] of counts.entries()) {
      total += count
      const bound = DURATION_BOUNDS_MS[i]
      const le = bound === undefined ? '+Inf' : String(bound / MS_PER_S)
      this.#values.push({ metricName: bucket, labels: { le, ...labels }, value: total })
    }
    this.#values.push(
      { metricName: `${this.name}_sum`, labels, value: sumMs / MS_PER_S },
      { metricName: `${this.name}_count`, labels, value: total },
    )
  }

  /** As prom-client's metrics have it. */
  get() {
    const { name, help, type, aggregator } = this
    return Promise.resolve({ name, help, type, aggregator, values: this.#values })
  }
}
