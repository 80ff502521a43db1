import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa, execaSync } from 'execa'
import type { Test } from 'tap'
import { missing, notRoot } from './program.js'
import { startDaemon, type TestDaemon } from './publish.js'
import { until } from './until.js'

/** The image of `startOwnDockerd`: a web server whose page /cgi-bin/name is the container's host name. */
export const IMAGE = 'web:local'
const PATH = [process.env['DOCKER_ROOT'] ?? '', '/usr']
  .filter((root) => root !== '')
  .flatMap((root) => [`${root}/usr/bin`, `${root}/usr/sbin`, `${root}/bin`, `${root}/sbin`])
const ENVIRONMENT = { PATH: [...PATH, process.env['PATH']].join(':') }

/** A dockerd in network and mount namespaces of its own, so that it does not meet any other. DOCKER_ROOT names a newer one. */
export interface OwnDockerd {
  readonly version: string
  readonly host: string
  /** The command and its arguments that run what follows in the namespaces. */
  readonly enter: readonly string[]
  readonly docker: (...args: string[]) => Promise<string>
  /** Starts docker-publish daemon there. */
  startDaemon(...args: string[]): Promise<TestDaemon>
  /**
   * Sends one HTTP request to a port of 127.0.0.1 there.
   * @returns the host name of the container, or `refused`, or `disconnected`
   */
  readonly ask: (port: number) => Promise<string>
  /** Starts clients that ask ports without a pause, until `end`. @returns how often each answer came, by port */
  startClients(ports: readonly number[]): { end(): Promise<Record<string, Record<string, number>>> }
  /** Ends dockerd, and not its containers if it was started with --live-restore. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Starts it again after `kill`. */
  restart(): Promise<void>
}

export function missingForDockerd(): string | false {
  return (
    missing('/usr/sbin/dockerd', 'docker.io') ||
    missing('/bin/busybox', 'busybox-static') ||
    missing('/usr/sbin/iptables', 'iptables') ||
    notRoot('for dockerd')
  )
}

/** Starts it. Everything of it ends with the test. @param options for dockerd */
export async function startOwnDockerd(t: Test, ...options: string[]): Promise<OwnDockerd> {
  const root = mkdtempSync(join(tmpdir(), 'own-dockerd-'))
  const holder = spawn(
    'unshare',
    ['--net', '--mount', 'sh', '-c', 'ip link set lo up; echo up; read -r _'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  await once(holder.stdout, 'data')
  const target = `--target=${holder.pid ?? 0}`
  const enter = ['nsenter', '--net', '--mount', target, '--']
  const host = `unix://${join(root, 'docker.sock')}`
  const docker: OwnDockerd['docker'] = async (...args) => {
    const env = { ...ENVIRONMENT, DOCKER_HOST: host }
    return (await execa('docker', args, { env })).stdout.trim()
  }
  let daemon: ChildProcess
  const start = async (): Promise<void> => {
    daemon = spawn(
      'nsenter',
      [
        ...enter.slice(1),
        ...['dockerd', '--data-root', join(root, 'data'), '--exec-root', join(root, 'exec')],
        ...['-H', host, '--pidfile', join(root, 'pid'), '--log-level', 'error', ...options],
      ],
      { env: { ...process.env, ...ENVIRONMENT }, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let log = ''
    daemon.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()))
    await until(async () => {
      if (daemon.exitCode !== null) throw new Error(`dockerd ended: ${log}`)
      return (await docker('version').catch(() => '')) !== ''
    })
  }
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    const exit = once(daemon, 'exit')
    daemon.kill(signal)
    await exit
    // A killed dockerd leaves its containerd, which the next one would wait for in vain, even if it is only a zombie.
    const containerd = join(root, 'exec/containerd')
    execaSync('pkill', ['-KILL', '-f', join(containerd, 'containerd.toml')], { reject: false })
    rmSync(join(containerd, 'containerd.pid'), { force: true })
  }
  t.teardown(async () => {
    if (daemon.exitCode === null && daemon.signalCode === null) {
      const containers = await docker('ps', '-aq').catch(() => '')
      if (containers) await docker('rm', '-f', ...containers.split('\n')).catch(() => '')
      await kill('SIGTERM')
    }
    execaSync('pkill', ['-KILL', '-f', `${root}/`], { reject: false })
    holder.kill('SIGKILL')
    rmSync(root, { recursive: true, force: true })
  })
  await start()
  await importImage(root, docker)
  return {
    ...{ host, enter, docker, kill, restart: start },
    version: await docker('version', '--format', '{{.Server.Version}}'),
    startDaemon: (...args) =>
      startDaemon(t, { through: enter, env: { ...ENVIRONMENT, DOCKER_HOST: host } }, ...args),
    async ask(port) {
      const [command = '', ...args] = enter
      const { stdout } = await execa(command, [
        ...args,
        process.execPath,
        '-e',
        CLIENT,
        'once',
        String(port),
      ])
      return stdout
    },
    startClients(ports) {
      const [command = '', ...args] = enter
      const child = execa(
        command,
        [...args, process.execPath, '-e', CLIENT, 'loop', ...ports.map(String)],
        { stdin: 'pipe' },
      )
      t.teardown(() => void child.kill('SIGKILL'))
      return {
        async end() {
          child.stdin.end()
          return JSON.parse((await child).stdout) as Record<string, Record<string, number>>
        },
      }
    },
  }
}

/** Asks ports which container they lead to. */
const CLIENT = `
const { connect } = require('node:net')
const [, mode, ...ports] = process.argv
const ask = (port) => new Promise((resolve) => {
  let text = ''
  let code
  const socket = connect(Number(port), '127.0.0.1', () => {
    socket.write('GET /cgi-bin/name HTTP/1.0\\r\\n\\r\\n')
  })
  socket.on('data', (data) => (text += data))
  socket.on('error', (err) => (code = err.code))
  socket.on('close', () => {
    const name = /name=(\\S+)/.exec(text)
    resolve(name ? name[1] : code === 'ECONNREFUSED' ? 'refused' : 'disconnected')
  })
})
if (mode === 'once') ask(ports[0]).then((answer) => process.stdout.write(answer))
else {
  let isOver = false
  process.stdin.on('end', () => (isOver = true)).resume()
  const counts = {}
  const loop = async (port) => {
    const own = (counts[port] = {})
    while (!isOver) {
      const answer = await ask(port)
      own[answer] = (own[answer] || 0) + 1
    }
  }
  Promise.all(ports.map(loop)).then(() => process.stdout.write(JSON.stringify(counts)))
}
`

async function importImage(root: string, docker: OwnDockerd['docker']): Promise<void> {
  const folder = join(root, 'image')
  mkdirSync(join(folder, 'bin'), { recursive: true })
  mkdirSync(join(folder, 'www/cgi-bin'), { recursive: true })
  execaSync('cp', ['/bin/busybox', join(folder, 'bin')])
  for (const tool of ['sh', 'httpd', 'hostname', 'sleep', 'nc', 'cat']) {
    symlinkSync('busybox', join(folder, 'bin', tool))
  }
  const script = join(folder, 'www/cgi-bin/name')
  writeFileSync(script, '#!/bin/sh\necho\necho "name=$(hostname)"\n', { mode: 0o755 })
  const archive = join(root, 'image.tar')
  await execa('tar', ['-C', folder, '-cf', archive, '.'])
  const command = JSON.stringify(['/bin/httpd', '-f', '-p', '80', '-h', '/www'])
  await docker('import', '--change', `CMD ${command}`, '--change', 'EXPOSE 80', archive, IMAGE)
  if (existsSync(archive)) rmSync(archive)
}
