import { execaSync } from 'execa'
import { missingProgram, versionOf, type Peer } from '../peer.js'
import { builtProgram } from '../places.js'
import { startPublishDaemon, type PublishDaemon } from '../publish-daemon.js'
import type { NetworkPath } from '../network-path.js'
import type { Site } from '../site.js'

const PROGRAM = builtProgram('docker-publish')
const NFT = '/usr/sbin/nft'

let daemon: PublishDaemon | undefined

/** Networks of its own, because the rules apply to all ports there, with a daemon. */
async function openSite(path: NetworkPath): Promise<Site> {
  if (path.name === 'loopback') throw new Error('nat is for clients on other hosts')
  const site = await path.openOwn()
  const started = (daemon = await startPublishDaemon(site).catch(async (err: unknown) => {
    await site.close()
    throw err
  }))
  return {
    ...site,
    async close() {
      await started.close()
      await site.close()
    },
  }
}

/** Forwarding by the kernel, with the rules of docker-publish. */
export const nat: Peer = {
  name: 'nat',
  how: 'docker-publish add --via nat, in networks of its own',
  isOurs: true,
  isKernel: true,
  protocols: ['tcp', 'udp'],
  version: () => versionOf(PROGRAM, '--version'),
  missing: () =>
    process.getuid?.() === 0
      ? missingProgram(NFT, 'nftables')
      : 'the firewall is for root: run the benchmark as root',
  openSite,
  start({ protocol, port, backendPort }, site) {
    const host = ['-H', `unix://${daemon?.socket ?? ''}`]
    const spec = `${site.hostIp}:${port}:${backendPort}/${protocol}`
    execaSync(PROGRAM, ['add', ...host, '--via', 'nat', '-p', spec, site.containerIp])
    return undefined
  },
}
