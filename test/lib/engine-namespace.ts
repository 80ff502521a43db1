import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa, execaSync } from 'execa'
import type { Test } from 'tap'
import { startDaemon, type TestDaemon } from './publish.js'

/** The image of a container engine of a test: a web server whose page /cgi-bin/name has the container's host name and the client's address. */
export const IMAGE = 'web:local'
export const IMAGE_COMMAND = ['/bin/httpd', '-f', '-p', '80', '-h', '/www']

/** Network and mount namespaces for a container engine, so that it does not meet any other. */
export interface EngineNamespace {
  /** A folder that is removed with the namespaces. */
  readonly root: string
  /** A process in the namespaces. */
  readonly pid: number
  /** The command and its arguments that run what follows in the namespaces. */
  readonly enter: readonly [string, ...string[]]
  /** Starts docker-publish daemon there. @param through a command that becomes it */
  startDaemon(
    options: { env: NodeJS.ProcessEnv; through?: readonly string[] },
    ...args: string[]
  ): Promise<TestDaemon>
  /**
   * Sends one HTTP request to a port of 127.0.0.1 there.
   * @returns the host name of the container, or `refused`, or `disconnected`
   */
  readonly ask: (port: number) => Promise<string>
  /** Starts clients that ask ports without a pause, until `end`. @returns how often each answer came, by port */
  startClients(ports: readonly number[]): { end(): Promise<Record<string, Record<string, number>>> }
  /** Packs the files of IMAGE. @returns the path of the archive */
  packImage(): Promise<string>
}

/** @param end ends the engine, before the namespaces */
export async function startEngineNamespace(
  t: Test,
  end: () => Promise<unknown>,
): Promise<EngineNamespace> {
  const root = mkdtempSync(join(tmpdir(), 'own-engine-'))
  const holder = spawn(
    'unshare',
    ['--net', '--mount', 'sh', '-c', 'ip link set lo up; echo up; read -r _'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  await once(holder.stdout, 'data')
  const enter: EngineNamespace['enter'] = [
    'nsenter',
    ...['--net', '--mount', `--target=${holder.pid ?? 0}`, '--'],
  ]
  const [command, ...before] = enter
  t.teardown(async () => {
    await end()
    execaSync('pkill', ['-KILL', '-f', `${root}/`], { reject: false })
    holder.kill('SIGKILL')
    rmSync(root, { recursive: true, force: true })
  })
  return {
    ...{ root, enter, pid: holder.pid ?? 0 },
    startDaemon: ({ env, through = [] }, ...args) =>
      startDaemon(t, { through: [...enter, ...through], env }, ...args),
    async ask(port) {
      const args = [...before, process.execPath, '-e', CLIENT, 'once', String(port)]
      return (await execa(command, args)).stdout
    },
    startClients(ports) {
      const args = [...before, process.execPath, '-e', CLIENT, 'loop', ...ports.map(String)]
      const child = execa(command, args, { stdin: 'pipe' })
      t.teardown(() => void child.kill('SIGKILL'))
      return {
        async end() {
          child.stdin.end()
          return JSON.parse((await child).stdout) as Record<string, Record<string, number>>
        },
      }
    },
    packImage: () => packImage(root),
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

async function packImage(root: string): Promise<string> {
  const folder = join(root, 'image')
  mkdirSync(join(folder, 'bin'), { recursive: true })
  mkdirSync(join(folder, 'www/cgi-bin'), { recursive: true })
  execaSync('cp', ['/bin/busybox', join(folder, 'bin')])
  for (const tool of ['sh', 'httpd', 'hostname', 'sleep', 'nc', 'cat']) {
    symlinkSync('busybox', join(folder, 'bin', tool))
  }
  const script = join(folder, 'www/cgi-bin/name')
  writeFileSync(script, '#!/bin/sh\necho\necho "name=$(hostname) client=$REMOTE_ADDR"\n', {
    mode: 0o755,
  })
  const archive = join(root, 'image.tar')
  await execa('tar', ['-C', folder, '-cf', archive, '.'])
  return archive
}
