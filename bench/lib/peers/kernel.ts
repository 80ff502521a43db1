import { release } from 'node:os'
import { execaSync } from 'execa'
import { BASES } from '../bases.js'
import { missingProgram, versionOf, type Peer } from '../peer.js'
import { openNamespace } from '../site.js'

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
  start: () => undefined,
}

/** Forwarding by the kernel, with a rule of nftables, in a network namespace of its own. */
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
