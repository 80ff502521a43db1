import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa, execaSync } from 'execa'
import type { Test } from 'tap'
import { inOurNetwork, processCommand, processIds } from '../../src/linux/proc/process.js'
import { inCleanEnvironment } from './program.js'
import { PUBLISH } from './publish.js'
import { until } from './until.js'
import { keepRules } from '../../bench/lib/rules.js'

/** A real dockerd of the test, with our docker-proxy. */
export interface Dockerd {
  /** The run folder in which its proxies look for a docker-proxyd. */
  readonly proxydFolder: string
  /** Where it listens, as DOCKER_HOST. */
  readonly host: string
  /** Runs the docker command. Rejects with DockerError if it fails. */
  readonly docker: (...args: string[]) => Promise<string>
  /** Makes an image of a folder. */
  importImage(folder: string, name: string, ...changes: string[]): Promise<void>
  /** Makes a folder that is removed with the daemon. */
  folder(name: string): string
}

export interface DockerError extends Error {
  exitCode: number
  stderr: string
}

/** Returns why dockerd must not be started: another dockerd would share its bridge and firewall with it. */
export function otherDockerd(): string | false {
  const running = processIds().find(
    (pid) => processCommand(pid)?.[0]?.endsWith('dockerd') && inOurNetwork(pid),
  )
  return running !== undefined && `a dockerd runs here (pid ${running}), which this would disturb`
}

/**
 * Starts dockerd. When the test ends, it is stopped, and its containers, rules and bridge are removed.
 * @param settings environment that dockerd passes on to its proxies
 */
export async function startDockerd(t: Test, settings: NodeJS.ProcessEnv): Promise<Dockerd> {
  const prefix = join(tmpdir(), 'dockerd-')
  // A killed test leaves namespaces of containers, which still answer for their addresses.
  unmountAll(prefix)
  const root = mkdtempSync(prefix)
  const socket = join(root, 'docker.sock')
  const proxydFolder = join(root, 'proxyd')
  const restoreRules = keepRules()
  const hadBridge = existsSync('/sys/class/net/docker0')
  const config = join(root, 'daemon.json')
  // Installed as users do it, but the unit goes where no systemd reads it.
  await execa(PUBLISH, [
    ...['install-userland-proxy', '--config-file', config],
    ...['--unit-dir', root],
  ])
  const daemon = spawn(
    ...inCleanEnvironment(
      'dockerd',
      [
        ...['--data-root', join(root, 'data'), '--exec-root', join(root, 'exec')],
        ...['-H', `unix://${socket}`, '--pidfile', join(root, 'pid')],
        ...['--config-file', config, '--log-level', 'warn'],
      ],
      { DOCKER_PROXY_RUN_DIR: proxydFolder, ...settings },
    ),
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let log = ''
  daemon.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()))
  const exit = once(daemon, 'exit')
  const host = `unix://${socket}`
  const docker = dockerOf(host)
  t.teardown(async () => {
    if (!t.passing()) {
      const neighbours = execaSync('ip', ['neighbour', 'show', 'dev', 'docker0']).stdout
      t.comment([log, await docker('ps', '-a').catch(String), neighbours].join('\n'))
    }
    const containers = await docker('ps', '-aq').catch(() => '')
    if (containers) await docker('rm', '-f', ...containers.split('\n'))
    daemon.kill('SIGTERM')
    await exit
    restoreRules()
    if (!hadBridge) execaSync('ip', ['link', 'delete', 'docker0'])
    // The namespace of `--network host` stays mounted.
    unmountAll(`${root}/`)
    rmSync(root, { recursive: true, force: true })
  })

  await until(async () => {
    if (daemon.exitCode !== null) throw new Error(`dockerd ended: ${log}`)
    return (await docker('version').catch(() => '')) !== ''
  })
  return dockerdWith(root, host, proxydFolder)
}

/** Unmounts all paths with a prefix. */
function unmountAll(prefix: string): void {
  const paths = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1])
  for (const path of paths.reverse()) {
    if (path?.startsWith(prefix)) execaSync('umount', [path])
  }
}

/** The dockerd that this machine runs as a service; only for a machine that belongs to the test. */
export function machinesDockerd(t: Test): Dockerd {
  const root = t.testdir({})
  return dockerdWith(root, 'unix:///run/docker.sock', '/run/docker-proxy')
}

function dockerOf(host: string): Dockerd['docker'] {
  return async (...args) => {
    // The newer builder is a plugin that a plain machine does not have.
    const env = { ...process.env, DOCKER_HOST: host, DOCKER_BUILDKIT: '0' }
    const { stdout } = await execa('docker', args, { env })
    return stdout.trim()
  }
}

function dockerdWith(root: string, host: string, proxydFolder: string): Dockerd {
  const docker = dockerOf(host)
  return {
    host,
    docker,
    proxydFolder,
    async importImage(folder, name, ...changes) {
      const options = changes.flatMap((change) => ['--change', change])
      const archive = join(root, 'image.tar')
      await execa('tar', ['-C', folder, '-cf', archive, '.'])
      await docker('import', ...options, archive, name)
      rmSync(archive)
    },
    folder(name) {
      const folder = join(root, name)
      mkdirSync(folder, { recursive: true })
      return folder
    },
  }
}

/** An image of busybox that can serve the pages of /www, with `size` bytes in /www/big. */
export async function makeWebImage(dockerd: Dockerd, name: string, big: Buffer): Promise<void> {
  const folder = dockerd.folder('web')
  mkdirSync(join(folder, 'bin'))
  mkdirSync(join(folder, 'www'))
  execaSync('cp', ['/bin/busybox', join(folder, 'bin')])
  for (const tool of ['sh', 'httpd', 'nc', 'wget', 'sleep']) {
    symlinkSync('busybox', join(folder, 'bin', tool))
  }
  writeFileSync(join(folder, 'www/index.html'), 'hello from a container\n')
  writeFileSync(join(folder, 'www/big'), big)
  await dockerd.importImage(folder, name)
}

/** An image of this machine's dnsmasq and its libraries. */
export async function makeDnsImage(dockerd: Dockerd, name: string): Promise<void> {
  const folder = dockerd.folder('dns')
  const program = '/usr/sbin/dnsmasq'
  const libraries = execaSync('ldd', [program]).stdout.match(/\/\S+/g) ?? []
  execaSync('cp', ['-L', '--parents', '-t', folder, program, ...libraries])
  mkdirSync(join(folder, 'etc'))
  writeFileSync(join(folder, 'etc/passwd'), 'root:x:0:0::/:/\n')
  await dockerd.importImage(folder, name)
}
