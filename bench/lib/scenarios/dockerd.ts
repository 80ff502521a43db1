import { missingDockerd, startDockerd } from '../dockerd.js'
import { freePorts } from '../ports.js'
import type { Start } from '../scenario.js'

/** Each port is published on IPv4 and IPv6, which makes twice as many proxies. */
const PORTS = 201

/** How long publishing a wide range takes with a real dockerd, with each docker-proxy in turn. */
const dockerRun: Start = {
  kind: 'start',
  name: 'dockerd',
  isLocal: true,
  title: `docker run with ${PORTS} published ports, and docker rm -f`,
  load: 'one round by default; its own dockerd, most of whose time goes into rules of iptables',
  figures: [
    { key: 'run', title: 'docker run', unit: 's', better: 'less' },
    { key: 'rm', title: 'docker rm', unit: 's', better: 'less' },
  ],
  isLong: true,
  seconds: () => 15,
  missing: missingDockerd,
  suits: ({ underDockerd }) => underDockerd !== undefined,
  async measure({ peer }) {
    const { path = '', env = {} } = peer.underDockerd?.() ?? {}
    const { image, docker, stop } = await startDockerd(path, env)
    try {
      const [first = 0, ...others] = await freePorts(PORTS)
      const last = others.at(-1) ?? first
      const publish = ['-p', `${first}-${last}:${first}-${last}`]
      const start = performance.now()
      await docker('run', '-d', '--name', 'wide', ...publish, image, '/bin/sleep', '1000')
      const up = performance.now()
      await docker('rm', '-f', 'wide')
      return { run: (up - start) / 1000, rm: (performance.now() - up) / 1000 }
    } finally {
      await stop()
    }
  },
}

export const DOCKERD: readonly Start[] = [dockerRun]
