import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { describeTracking } from './connection-tracking.js'
import { allowedCores, divideCores } from './cores.js'
import { versionOf } from './peer.js'
import { packageFile } from './places.js'
import type { Results } from './results.js'
import { MIB } from './units.js'

/** The machine on which the figures were measured. */
export function describeMachine(): Results['machine'] {
  const cores = allowedCores()
  const divided = divideCores(cores)
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cores.length,
    memory: Math.round(totalmem() / MIB),
    kernel: release(),
    connectionTracking: describeTracking(),
    congestionControl: machinesCongestionControl(),
    pinning: divided
      ? `proxy on cores ${divided.proxy.join(', ')}, load and backend on ${divided.load.join(', ')}`
      : `proxy, load and backend share ${cores.length} cores`,
  }
}

/** Versions of the load generators. */
export function describeTools(): Record<string, string> {
  const autocannon = JSON.parse(readFileSync(packageFile('autocannon/package.json'), 'utf8')) as {
    version: string
  }
  return {
    node: process.versions.node,
    autocannon: autocannon.version,
    wrk: versionOf('/usr/bin/wrk', '-v'),
    iperf3: versionOf('/usr/bin/iperf3', '-v'),
    nginx: versionOf('/usr/sbin/nginx', '-v'),
  }
}

/** For connections that do not choose another one. */
export function machinesCongestionControl(): string {
  return readSetting('/proc/sys/net/ipv4/tcp_congestion_control')
}

function readSetting(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return 'unknown'
  }
}
