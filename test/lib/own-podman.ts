import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import type { Test } from 'tap'
import {
  IMAGE,
  IMAGE_COMMAND,
  startEngineNamespace,
  type EngineNamespace,
} from './engine-namespace.js'
import type { OwnEngine } from './own-engine.js'
import { missing, notRoot } from './program.js'
import { until } from './until.js'

export function missingForPodman(): string | false {
  return (
    missing('/usr/bin/podman', 'podman') ||
    missing('/usr/sbin/runc', 'runc') ||
    missing('/bin/busybox', 'busybox-static') ||
    notRoot('for podman')
  )
}

/** More than this user has can't be set, for example in a container. */
const LIMITS = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']

/** A compose project. Podman can't set higher limits than this user has, for example in a container. */
const COMPOSE_FILE = `
services:
  web:
    image: ${IMAGE}
    hostname: web
    ulimits:
      nofile: { soft: 1024, hard: 1024 }
      nproc: { soft: 1024, hard: 1024 }
`

/** A Podman, and its service, which has Docker's API. */
export interface OwnPodman extends OwnEngine {
  readonly namespace: EngineNamespace
  /** Runs podman-compose with a project `shop` that has one service, `web`. */
  readonly compose: (...args: string[]) => Promise<void>
}

/** Starts its service, with the image IMAGE. Everything of it ends with the test. */
export async function startOwnPodman(t: Test): Promise<OwnPodman> {
  const ends: (() => Promise<unknown>)[] = []
  const namespace = await startEngineNamespace(t, async () => {
    for (const end of ends) await end()
  })
  const { root, enter } = namespace
  const [command, ...before] = enter
  const options = [
    ...[`--root=${join(root, 'storage')}`, `--runroot=${join(root, 'run')}`],
    `--network-config-dir=${join(root, 'networks')}`,
    ...['--cgroup-manager=cgroupfs', '--storage-driver=vfs', '--runtime=runc'],
  ]
  const podman = async (...args: string[]): Promise<string> =>
    (await execa(command, [...before, 'podman', ...options, ...args])).stdout.trim()
  const socket = join(root, 'podman.sock')
  const env = { DOCKER_HOST: `unix://${socket}` }
  let service: ChildProcess | undefined
  const restart = async (): Promise<void> => {
    rmSync(socket, { force: true })
    service = spawn(
      command,
      [...before, 'podman', ...options, 'system', 'service', '--time=0', `unix://${socket}`],
      { stdio: 'ignore' },
    )
    await until(() => existsSync(socket))
  }
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    if (!service || service.exitCode !== null || service.signalCode !== null) return
    const exit = once(service, 'exit')
    service.kill(signal)
    await exit
  }
  await restart()
  ends.push(
    () => podman('rm', '-f', '-t', '0', '--all').catch(() => ''),
    () => kill('SIGTERM'),
  )
  const change = `CMD ${JSON.stringify(IMAGE_COMMAND)}`
  const archive = await namespace.packImage()
  await podman('import', '--change', change, '--change', 'EXPOSE 80', archive, IMAGE)
  // podman-compose calls the podman of PATH.
  const programs = join(root, 'bin')
  mkdirSync(programs)
  const wrapper = join(programs, 'podman')
  writeFileSync(wrapper, `#!/bin/sh\nexec /usr/bin/podman ${options.join(' ')} "$@"\n`)
  chmodSync(wrapper, 0o755)
  const compose = async (...args: string[]): Promise<void> => {
    const file = join(root, 'compose.yaml')
    writeFileSync(file, COMPOSE_FILE)
    const env = { PATH: `${programs}:${process.env['PATH'] ?? ''}` }
    await execa(command, [...before, 'podman-compose', '-p', 'shop', '-f', file, ...args], { env })
  }
  const { ask, pid } = namespace
  return {
    ...{ namespace, compose, kill, restart, ask, enter, pid },
    ...{ name: 'podman', version: await podman('--version'), defaultNetwork: 'podman' },
    limits: LIMITS,
    command: podman,
    // Podman removes several at the same time, and refuses it for one whose network another one shares.
    async remove(...names) {
      for (const name of names) await podman('rm', '-f', '-t', '0', name)
    },
    startClients: (ports) => namespace.startClients(ports),
    startDaemon: (...args) => namespace.startDaemon({ env }, ...args),
    startDaemonThrough: (through, ...args) => namespace.startDaemon({ env, through }, ...args),
  }
}
