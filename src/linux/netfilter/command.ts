import { spawn, type ChildProcess } from 'node:child_process'
import { errnoReason } from '../errno.js'

/** Time that a command may take, milliseconds. iptables waits for a lock that other programs hold. */
const TIMEOUT_MS = 10_000
/** Folders of the commands. A user's PATH often lacks them. */
const FOLDERS = '/usr/sbin:/sbin'

/** A command of the firewall that failed. The message is one line, and may quote what the command wrote. */
export class FirewallError extends Error {
  override readonly name = 'FirewallError'

  /** @param code `EMISSING` if the command is not installed; `ESUPERSEDED` if a later change forbids this one; `EFAILED` otherwise */
  constructor(
    readonly code: 'EMISSING' | 'ESUPERSEDED' | 'EFAILED',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/**
 * Runs a command of the firewall.
 * @param input its stdin
 * @returns its stdout
 * Rejects with FirewallError, after 10 seconds at the latest.
 */
export function runFirewall(command: readonly string[], input = ''): Promise<string> {
  const [program = '', ...args] = command
  return new Promise((resolve, reject) => {
    const fail = (reason: string, code: FirewallError['code'] = 'EFAILED'): void =>
      reject(new FirewallError(code, `${program} failed: ${reason}`))
    const failToStart = (err: unknown): void => {
      const isMissing = (err as { code?: unknown }).code === 'ENOENT'
      const reason = isMissing ? 'it is not installed' : errnoReason(err)
      const message = `can't run ${program}: ${reason}`
      reject(new FirewallError(isMissing ? 'EMISSING' : 'EFAILED', message, { cause: err }))
    }
    let child: ChildProcess
    try {
      child = spawn(program, args, { env: firewallEnvironment() })
    } catch (err) {
      failToStart(err)
      return
    }
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      fail(`it did not end within ${TIMEOUT_MS / 1000} s`)
    }, TIMEOUT_MS)
    let [output, messages] = ['', '']
    child.once('error', (err) => {
      clearTimeout(timer)
      failToStart(err)
    })
    child.once('close', (code) => {
      clearTimeout(timer)
      if (code === 0) resolve(output)
      else fail(messages.trim().split('\n')[0] || `code ${code}`)
    })
    // Without a free descriptor there are no streams.
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (messages += text))
    // A command may end before its input does.
    child.stdin?.on('error', () => undefined).end(input)
  })
}

/** The environment of a command: its output is the same in each language. */
export function firewallEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:${FOLDERS}` }
}
