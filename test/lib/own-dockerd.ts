import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { execa, execaSync } from 'execa'
import type { Test } from 'tap'
import { IMAGE, IMAGE_COMMAND, startEngineNamespace } from './engine-namespace.js'
import type { OwnEngine } from './own-engine.js'
import { missing, notRoot } from './program.js'
import { until } from './until.js'

const PATH = [process.env['DOCKER_ROOT'] ?? '', '/usr']
  .filter((root) => root !== '')
  .flatMap((root) => [`${root}/usr/bin`, `${root}/usr/sbin`, `${root}/bin`, `${root}/sbin`])
const ENVIRONMENT = { PATH: [...PATH, process.env['PATH']].join(':') }

/** A dockerd. DOCKER_ROOT names the root folder of a newer one. */
export interface OwnDockerd extends OwnEngine {
  readonly docker: OwnEngine['command']
}

export function missingForDockerd(): string | false {
  return (
    missing(`${process.env['DOCKER_ROOT'] ?? ''}/usr/sbin/dockerd`, 'docker.io') ||
    missing('/bin/busybox', 'busybox-static') ||
    missing('/usr/sbin/iptables', 'iptables') ||
    notRoot('for dockerd')
  )
}

/** Starts it, with the image IMAGE. Everything of it ends with the test. @param options for dockerd */
export async function startOwnDockerd(t: Test, ...options: string[]): Promise<OwnDockerd> {
  let daemon: ChildProcess | undefined
  const namespace = await startEngineNamespace(t, async () => {
    if (!daemon || daemon.exitCode !== null || daemon.signalCode !== null) return
    const containers = await docker('ps', '-aq').catch(() => '')
    if (containers) await docker('rm', '-f', ...containers.split('\n')).catch(() => '')
    await kill('SIGTERM')
  })
  const { root, enter } = namespace
  const host = `unix://${join(root, 'docker.sock')}`
  const env = { ...ENVIRONMENT, DOCKER_HOST: host }
  const docker: OwnDockerd['docker'] = async (...args) => {
    return (await execa('docker', args, { env })).stdout.trim()
  }
  const start = async (): Promise<void> => {
    const [command, ...before] = enter
    const child = spawn(
      command,
      [
        ...before,
        ...['dockerd', '--data-root', join(root, 'data'), '--exec-root', join(root, 'exec')],
        ...['-H', host, '--pidfile', join(root, 'pid'), '--log-level', 'error', ...options],
      ],
      { env: { ...process.env, ...ENVIRONMENT }, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    daemon = child
    let log = ''
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()))
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`dockerd ended: ${log}`)
      return (await docker('version').catch(() => '')) !== ''
    })
  }
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    if (!daemon) return
    const exit = once(daemon, 'exit')
    daemon.kill(signal)
    await exit
    // A killed dockerd leaves its containerd, which the next one would wait for in vain, even if it is only a zombie.
    const containerd = join(root, 'exec/containerd')
    execaSync('pkill', ['-KILL', '-f', join(containerd, 'containerd.toml')], { reject: false })
    rmSync(join(containerd, 'containerd.pid'), { force: true })
  }
  await start()
  const change = `CMD ${JSON.stringify(IMAGE_COMMAND)}`
  const archive = await namespace.packImage()
  await docker('import', '--change', change, '--change', 'EXPOSE 80', archive, IMAGE)
  return {
    ...{ name: 'docker', defaultNetwork: 'bridge', limits: [], command: docker },
    async remove(...names) {
      await docker('rm', '-f', ...names)
    },
    ...{ docker, kill, restart: start, ask: namespace.ask, enter, pid: namespace.pid },
    startClients: (ports) => namespace.startClients(ports),
    version: await docker('version', '--format', '{{.Server.Version}}'),
    startDaemon: (...args) => namespace.startDaemon({ env }, ...args),
    startDaemonThrough: (through, ...args) => namespace.startDaemon({ env, through }, ...args),
  }
}
