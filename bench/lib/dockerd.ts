import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { execaSync } from 'execa'
import { inOurNetwork, processCommand, processIds } from '../../src/linux/proc/process.js'
import { output, startChild, stopChild } from './child.js'
import { missingProgram } from './peer.js'
import { keepRules } from './rules.js'
import { scratchPath } from './scratch.js'

const DOCKERD = process.env['DOCKERD'] || '/usr/sbin/dockerd'
const BUSYBOX = '/bin/busybox'
const IPTABLES = '/usr/sbin/iptables'
const START_TRIES = 200
const BRIDGE = 'docker0'

/** A dockerd of the benchmark's own. */
export interface Dockerd {
  /** An image of busybox. */
  readonly image: string
  /** Where it listens, for DOCKER_HOST. */
  readonly host: string
  /** Runs the docker command. */
  readonly docker: (...args: string[]) => Promise<string>
  /** Ends it, and removes its containers, rules and bridge. */
  readonly stop: () => Promise<void>
}

/** @returns why no dockerd can run here, and what to do about it */
export function missingDockerd(): string | undefined {
  if (process.getuid?.() !== 0) return 'dockerd is for root: run the benchmark as root'
  const other = processIds().find(
    (pid) => processCommand(pid)?.[0]?.endsWith('dockerd') && inOurNetwork(pid),
  )
  if (other !== undefined) return `a dockerd runs here (pid ${other}), which it would disturb`
  return (
    missingProgram(DOCKERD, 'docker.io') ??
    missingProgram(BUSYBOX, 'busybox-static') ??
    missingProgram(IPTABLES, 'iptables')
  )
}

/**
 * Starts a dockerd that uses a given docker-proxy.
 * @param env environment that dockerd passes on to its proxies
 * Rejects with a sentence if it does not start.
 */
export async function startDockerd(proxy: string, env: NodeJS.ProcessEnv): Promise<Dockerd> {
  const folder = mkdtempSync(scratchPath('dockerd-'))
  const host = `unix://${join(folder, 'socket')}`
  const config = join(folder, 'daemon.json')
  writeFileSync(config, JSON.stringify({ 'userland-proxy-path': proxy }))
  const restoreRules = keepRules()
  const hadBridge = existsSync(`/sys/class/net/${BRIDGE}`)
  const daemon = startChild(
    [
      ...([DOCKERD, '--config-file', config, '-H', host] as const),
      ...['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
      ...['--pidfile', join(folder, 'pid'), '--log-level', 'error'],
    ],
    env,
    'SIGTERM', // It ends its containers.
  )
  const docker = (...args: string[]): Promise<string> => output(['docker', '-H', host, ...args])
  const stop = async (): Promise<void> => {
    const containers = await docker('ps', '-aq').catch(() => '')
    if (containers) await docker('rm', '-f', ...containers.trim().split('\n'))
    daemon.kill('SIGTERM')
    if (daemon.exitCode === null && daemon.signalCode === null) await once(daemon, 'exit')
    await stopChild(daemon)
    restoreRules()
    if (!hadBridge) execaSync('ip', ['link', 'delete', BRIDGE])
    const namespace = join(folder, 'exec/netns/default')
    if (existsSync(namespace)) execaSync('umount', [namespace])
  }
  try {
    await untilItAnswers(docker)
    return { image: await importBusybox(folder, docker), host, docker, stop }
  } catch (err) {
    await stop()
    throw err
  }
}

async function untilItAnswers(docker: Dockerd['docker']): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await docker('version')
      return
    } catch (err) {
      if (tries >= START_TRIES) throw new Error('dockerd does not start', { cause: err })
    }
  }
}

async function importBusybox(folder: string, docker: Dockerd['docker']): Promise<string> {
  const root = join(folder, 'image')
  mkdirSync(join(root, 'bin'), { recursive: true })
  copyFileSync(BUSYBOX, join(root, 'bin/busybox'))
  for (const tool of ['sleep', 'httpd']) symlinkSync('busybox', join(root, 'bin', tool))
  const archive = join(folder, 'image.tar')
  await output(['tar', '-C', root, '-cf', archive, '.'])
  await docker('import', archive, 'bench:local')
  return 'bench:local'
}
