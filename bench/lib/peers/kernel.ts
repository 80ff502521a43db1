import { release } from 'node:os'
import { execaSync } from 'execa'
import { BASES } from '../bases.js'
import { dockerRules } from '../bridge.js'
import { missingProgram, versionOf, type Forward, type Peer } from '../peer.js'
import { HOST_VARIABLE } from '../load-host.js'
import type { Site } from '../site.js'

const IPTABLES = '/usr/sbin/iptables'

/** dockerd drops connections to ports of containers that it has not published. */
const DIRECT_RULE = '-I DOCKER-USER -o bridge0 -j ACCEPT'

/** No proxy: the load connects to the backend. This is the limit of the machine. */
export const direct: Peer = {
  name: BASES[1],
  how: 'no proxy, the limit of this machine',
  isBackend: true,
  isKernel: true,
  protocols: ['tcp', 'udp'],
  version: () => release(),
  missing: () => undefined,
  openSite: (_, shared) => {
    if (shared.hostIp !== shared.containerIp) runIptables(shared, DIRECT_RULE)
    return Promise.resolve(directSite(shared))
  },
  start: () => undefined,
}

/** The load connects to the backend, which the host routes to. */
function directSite(shared: Site): Site {
  const { containerIp } = shared
  return {
    ...shared,
    hostIp: containerIp,
    load: (...command) => shared.load('env', `${HOST_VARIABLE}=${containerIp}`, ...command),
    close: () => Promise.resolve(),
  }
}

/** Forwarding by the kernel as dockerd does it for its own ports, in networks of its own: the rules apply to all ports there. */
export const dnat: Peer = {
  name: 'dnat',
  how: 'the rules of dockerd 28.5.2 for its own ports, in networks of its own',
  isKernel: true,
  protocols: ['tcp', 'udp'],
  version: () => `${release()}, iptables ${versionOf(IPTABLES, '--version')}`,
  missing: () =>
    process.getuid?.() === 0
      ? missingProgram(IPTABLES, 'iptables')
      : 'a network namespace is for root: run the benchmark as root',
  openSite: (path) => path.openOwn(),
  start(forward, site) {
    for (const rule of rulesFor(forward, site)) runIptables(site, rule)
    return undefined
  },
}

/** On loopback there is no container behind a bridge, and a rule for the host's own connections has to do. */
function rulesFor(forward: Forward, { hostIp, containerIp }: Site): string[] {
  if (hostIp !== containerIp) return dockerRules(forward, containerIp)
  const { protocol, port, backendPort } = forward
  return [
    `-t nat -A OUTPUT -d ${hostIp} -p ${protocol} --dport ${port} -j DNAT --to-destination ${containerIp}:${backendPort}`,
  ]
}

function runIptables(site: Site, rule: string): void {
  const [program, ...args] = site.proxy(IPTABLES, '-w', ...rule.split(' '))
  execaSync(program, args)
}
