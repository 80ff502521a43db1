import { release } from 'node:os'
import { execaSync } from 'execa'
import { BASES } from '../bases.js'
import { missingProgram, versionOf, type Peer } from '../peer.js'
import { openNamespace } from '../site.js'

const NFT = '/usr/sbin/nft'

/** No proxy: the load speaks to the backend, which is the limit of this machine. */
export const direct: Peer = {
  name: BASES[1],
  how: 'no proxy, the limit of this machine',
  isBackend: true,
  isKernel: true,
  protocols: ['tcp', 'udp'],
  version: () => release(),
  missing: () => undefined,
  start: () => undefined,
}

/** The kernel's own forwarding, by a rule of nftables, in a network namespace where it touches nobody's rules. */
export const dnat: Peer = {
  name: 'dnat',
  how: 'a rule of nftables, in a network namespace',
  isKernel: true,
  protocols: ['tcp', 'udp'],
  version: () => `${release()}, nftables ${versionOf(NFT, '-v')}`,
  missing: () =>
    process.getuid?.() === 0
      ? missingProgram(NFT, 'nftables')
      : 'a network namespace is for root: run the benchmark as root',
  openSite: openNamespace,
  start({ protocol, port, backendPort }, site) {
    const rules = `table ip bench {
  chain output {
    type nat hook output priority -100;
    ip daddr 127.0.0.1 ${protocol} dport ${port} dnat to 127.0.0.1:${backendPort}
  }
}
`
    const [program, ...args] = site.proxy(NFT, '-f', '-')
    execaSync(program, args, { input: rules, stdio: ['pipe', 'ignore', 'pipe'] })
    return undefined
  },
}
