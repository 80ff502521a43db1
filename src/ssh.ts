import { spawn } from 'node:child_process'
import { Duplex } from 'node:stream'

/** Where ssh connects to. What is left out is ssh's own default. */
export interface SshDestination {
  readonly user?: string | undefined
  readonly host: string
  readonly port?: number | undefined
}

/**
 * Runs a command on a host that ssh reaches.
 * @param options of ssh, before the host
 * @param messages `inherit` shows what ssh writes to stderr, `ignore` drops it
 * @returns the command's stdin and stdout; it is destroyed with an error if ssh fails
 */
export function dialOverSsh(
  { user, host, port }: SshDestination,
  command: readonly string[],
  options: readonly string[],
  messages: 'inherit' | 'ignore',
): Duplex {
  const destination = [
    ...(user === undefined ? [] : ['-l', user]),
    ...(port === undefined ? [] : ['-p', String(port)]),
  ]
  const ssh = spawn('ssh', [...destination, ...options, '--', host, ...command], {
    stdio: ['pipe', 'pipe', messages],
  })
  const stream = Duplex.from({ writable: ssh.stdin, readable: ssh.stdout })
  ssh.on('error', (err) => stream.destroy(err))
  ssh.on('exit', (code) => {
    if (code) stream.destroy(new Error(`ssh ended with exit code ${code}`))
  })
  stream.on('close', () => ssh.kill())
  return stream
}
