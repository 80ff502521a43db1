import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { execa } from 'execa'
import { missingDockerd, startDockerd, type Dockerd } from '../dockerd.js'
import { native, original } from '../peers/docker-proxy.js'
import { builtProgram } from '../places.js'
import { freePorts } from '../ports.js'
import { startPublishDaemon } from '../publish-daemon.js'
import type { Start } from '../scenario.js'
import { median, percentile } from '../statistics.js'
import { firstAnswer } from './dockerd.js'

const RESTARTS = 100
const QUICK_RESTARTS = 5
const CONTAINER = 'restarted'

/** How soon a port leads to a container that has started again. */
const restart: Start = {
  kind: 'start',
  name: 'restart',
  isLocal: true,
  title: `docker restart, from the container's start event to the first answered connection, ${RESTARTS} times`,
  load: 'one round by default; an HTTP server of busybox in a container of its own dockerd; a client connects until it has an answer; the original: a port of dockerd, native: one of docker-publish, which follows the container',
  figures: [
    { key: 'median', title: 'median', unit: 'ms', better: 'less' },
    { key: 'p99', title: 'p99', unit: 'ms', better: 'less' },
  ],
  isLong: true,
  seconds: () => RESTARTS,
  missing: missingDockerd,
  suits: (peer) => [original, native].includes(peer),
  async measure({ peer, site, isQuick }) {
    const { path = '', env = {} } = peer.underDockerd?.() ?? {}
    const dockerd = await startDockerd(path, env)
    try {
      const { image, docker } = dockerd
      const [port = 0] = await freePorts(1)
      const publish = peer === original ? ['-p', `${port}:80`] : []
      await docker(
        ...['run', '-d', '--name', CONTAINER, ...publish, image, '/bin/httpd', '-f', '-p', '80'],
      )
      if (peer === original) return await restartOften(dockerd, port, isQuick)
      const daemon = await startPublishDaemon(site, () => [], { DOCKER_HOST: dockerd.host })
      try {
        const host = ['-H', `unix://${daemon.socket}`]
        await execa(builtProgram('docker-publish'), ['add', ...host, '-p', `${port}:80`, CONTAINER])
        return await restartOften(dockerd, port, isQuick)
      } finally {
        await daemon.close()
      }
    } finally {
      await dockerd.stop()
    }
  },
}

async function restartOften(
  { docker, host }: Dockerd,
  port: number,
  isQuick: boolean,
): Promise<{ median: number; p99: number }> {
  const events = execa(
    'docker',
    ['-H', host, 'events', '--filter', 'event=start', '--format', '{{.Action}}'],
    { reject: false },
  )
  const lines = createInterface({ input: events.stdout })
  const times: number[] = []
  try {
    await firstAnswer(port)
    for (let i = 0; i < (isQuick ? QUICK_RESTARTS : RESTARTS); i++) {
      const started = once(lines, 'line')
      const restarted = docker('restart', '-t', '0', CONTAINER)
      await started
      const began = performance.now()
      await firstAnswer(port)
      times.push(performance.now() - began)
      await restarted
    }
  } finally {
    events.kill()
  }
  return { median: median(times), p99: percentile(times, 99) }
}

export const RESTART: readonly Start[] = [restart]
