import type { PortView } from '../controller/views.js'
import { joinHostPort } from '../ports/host-port.js'

type Port = Pick<PortView, 'protocol' | 'hostIp' | 'hostPort' | 'containerPort'>

/** Formats ports as `docker ps` does: `0.0.0.0:8000-8009->9000-9009/tcp, [::]:8080->80/tcp`. */
export function formatPorts(ports: readonly Port[]): string {
  const runs: { first: Port; last: Port }[] = []
  for (const port of sorted(ports)) {
    const run = runs.at(-1)
    if (run && follows(run.last, port)) run.last = port
    else runs.push({ first: port, last: port })
  }
  return runs.map(formatRun).join(', ')
}

function formatRun({ first, last }: { first: Port; last: Port }): string {
  const range = (from: number, to: number): string => (from === to ? `${from}` : `${from}-${to}`)
  const address = joinHostPort(first.hostIp, first.hostPort)
  const host = first.hostPort === last.hostPort ? address : `${address}-${last.hostPort}`
  return `${host}->${range(first.containerPort, last.containerPort)}/${first.protocol}`
}

function follows(a: Port, b: Port): boolean {
  const sameSide = a.hostIp === b.hostIp && a.protocol === b.protocol
  return sameSide && b.hostPort === a.hostPort + 1 && b.containerPort === a.containerPort + 1
}

function sorted(ports: readonly Port[]): Port[] {
  const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
  return [...ports].sort(
    (a, b) =>
      order(a.hostIp, b.hostIp) ||
      order(a.protocol, b.protocol) ||
      a.containerPort - b.containerPort ||
      a.hostPort - b.hostPort,
  )
}
