import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { errnoCode, errnoReason } from '../errno.js'

/** Time that a command may take, milliseconds. iptables waits for a lock that other programs hold. */
const TIMEOUT_MS = 10_000

/** A command of the firewall that failed. The message is one line, and may quote what the command wrote. */
export class FirewallError extends Error {
  override readonly name = 'FirewallError'

  /** @param code `ENOENT` if the command is not installed; `EFAILED` if it did not succeed */
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

/**
 * Runs a command of the firewall.
 * @param input what it reads
 * @returns what it writes to stdout
 * Rejects with FirewallError.
 */
export async function runFirewall(command: readonly string[], input = ''): Promise<string> {
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
    // Messages of nft are read by people only, but the lists have to be the same each time.
    env: { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  })
  // It may end before it has read everything.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const exit = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  try {
    const [output, messages, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      exit,
    ])
    if (code === 0) return output
    const reason = messages.trim().split('\n')[0] ?? ''
    throw new FirewallError('EFAILED', `${program} failed: ${reason || `code ${code}`}`)
  } catch (err) {
    if (err instanceof FirewallError) throw err
    const code = errnoCode(err) ?? 'EFAILED'
    const reason = code === 'ENOENT' ? 'it is not installed' : errnoReason(err)
    throw new FirewallError(code, `can't run ${program}: ${reason}`)
  }
}
