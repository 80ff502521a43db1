import { once } from 'node:events'
import { connect } from 'node:net'
import { missingDockerd, startDockerd } from '../dockerd.js'
import { freePorts } from '../ports.js'
import type { Start } from '../scenario.js'

/** Each port is published on IPv4 and IPv6, which makes twice as many proxies. */
const PORTS = 201

const ANSWER_MS = 10_000
const PAUSE_MS = 1

/** How long publishing a wide range takes with a real dockerd, with each docker-proxy in turn. */
const dockerRun: Start = {
  kind: 'start',
  name: 'dockerd',
  isLocal: true,
  title: `docker run with ${PORTS} published ports, and docker rm -f`,
  load: 'one round by default; its own dockerd, most of whose time goes into rules of iptables; native starts a docker-proxyd for the first port; and docker run with one port, until an HTTP server behind it answers',
  figures: [
    { key: 'run', title: 'docker run', unit: 's', better: 'less' },
    { key: 'first', title: 'first answer', unit: 's', better: 'less' },
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
      const [port = 0] = await freePorts(1)
      const began = performance.now()
      const server = ['/bin/httpd', '-f', '-p', '80']
      await docker('run', '-d', '--name', 'first', '-p', `${port}:80`, image, ...server)
      await firstAnswer(port)
      const answered = (performance.now() - began) / 1000
      await docker('rm', '-f', 'first')
      const start = performance.now()
      await docker('run', '-d', '--name', 'wide', ...publish, image, '/bin/sleep', '1000')
      const up = performance.now()
      await docker('rm', '-f', 'wide')
      return { first: answered, run: (up - start) / 1000, rm: (performance.now() - up) / 1000 }
    } finally {
      await stop()
    }
  },
}

/** Waits until an HTTP server behind a port of this machine answers anything. */
export async function firstAnswer(port: number): Promise<void> {
  for (const end = performance.now() + ANSWER_MS; ;) {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    try {
      socket.write('GET / HTTP/1.0\r\n\r\n')
      const [data] = (await Promise.race([
        once(socket, 'data'),
        once(socket, 'close').then(() => [undefined]),
      ])) as [unknown]
      if (data !== undefined) return
    } catch (err) {
      if (performance.now() > end) throw err
    } finally {
      socket.destroy()
    }
    await new Promise((done) => setTimeout(done, PAUSE_MS))
  }
}

export const DOCKERD: readonly Start[] = [dockerRun]
