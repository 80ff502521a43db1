import { release } from 'node:os'
import { execaSync } from 'execa'
import { BASES } from '../bases.js'
import { missingProgram, versionOf, type Peer } from '../peer.js'
import { HOST_VARIABLE } from '../load-host.js'
import type { Site } from '../site.js'

const NFT = '/usr/sbin/nft'

/** No proxy: the load connects to the backend. This is the limit of the machine. */
export const direct: Peer = {
  name: BASES[1],
  how: 'no proxy, the limit of this machine',
  isBackend: true,
  isKernel: true,
  protocols: ['tcp', 'udp'],
  version: () => release(),
  missing: () => undefined,
  openSite: (_, shared) => Promise.resolve(directSite(shared)),
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

/** Forwarding by the kernel, with a rule of nftables, in a network namespace of its own. */
export const dnat: Peer = {
  name: 'dnat',
  how: 'a rule of nftables, as of dockerd, in networks of its own',
  isKernel: true,
  protocols: ['tcp', 'udp'],
  version: () => `${release()}, nftables ${versionOf(NFT, '-v')}`,
  missing: () =>
    process.getuid?.() === 0
      ? missingProgram(NFT, 'nftables')
      : 'a network namespace is for root: run the benchmark as root',
  openSite: (path) => path.openOwn(),
  start({ protocol, port, backendPort }, site) {
    const rule = `ip daddr ${site.hostIp} ${protocol} dport ${port} dnat to ${site.containerIp}:${backendPort}`
    const rules = `table ip bench {
  chain output { type nat hook output priority -100; ${rule}; }
  chain prerouting { type nat hook prerouting priority dstnat; ${rule}; }
}
`
    const [program, ...args] = site.proxy(NFT, '-f', '-')
    execaSync(program, args, { input: rules, stdio: ['pipe', 'ignore', 'pipe'] })
    return undefined
  },
}
