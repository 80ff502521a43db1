import type { PortView } from '../controller/views.js'
import { joinHostPort } from '../ports/host-port.js'

type Port = Pick<PortView, 'protocol' | 'hostIp' | 'hostPort' | 'containerPort'>

/**
 * Formats ports exactly as `docker ps` does: `0.0.0.0:8000-8009->8000-8009/tcp, [::]:8080->80/tcp`. Runs of ports with equal numbers on both
 * sides are merged and come first; each other port follows on its own.
 * Source: DisplayablePorts of docker/cli, cli/command/formatter/container.go.
 */
export function formatPorts(ports: readonly Port[]): string {
  const closed: string[] = []
  const runs = new Map<string, { first: Port; last: Port }>()
  const others: string[] = []
  for (const port of [...ports].sort(compare)) {
    if (port.hostPort !== port.containerPort) {
      others.push(formatRun(port, port))
      continue
    }
    const key = `${port.hostIp}/${port.protocol}`
    const run = runs.get(key)
    if (run && port.hostPort === run.last.hostPort + 1) {
      run.last = port
    } else if (run) {
      closed.push(formatRun(run.first, run.last))
      run.first = run.last = port
    } else {
      runs.set(key, { first: port, last: port })
    }
  }
  const open = [...runs.values()].map(({ first, last }) => formatRun(first, last))
  return [...closed, ...open, ...others].join(', ')
}

function formatRun(first: Port, last: Port): string {
  const end = first === last ? '' : `-${last.hostPort}`
  const host = joinHostPort(first.hostIp, first.hostPort) + end
  return `${host}->${first.containerPort}${end}/${first.protocol}`
}

function compare(a: Port, b: Port): number {
  return (
    a.containerPort - b.containerPort ||
    compareTexts(a.hostIp, b.hostIp) ||
    a.hostPort - b.hostPort ||
    compareTexts(a.protocol, b.protocol)
  )
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
