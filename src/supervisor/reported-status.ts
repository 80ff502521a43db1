import type { Readable } from 'node:stream'
import { codeOfReason } from '../linux/errno.js'
import { STATUS_FAILED, STATUS_READY } from '../proxy/inherited-descriptors.js'

/** A process did not get ready. */
export class ProxyStartError extends Error {
  override readonly name = 'ProxyStartError'
  /** The code of the system error that a program without a socket from us has reported, for example EADDRINUSE. The message is the whole report. */
  readonly systemCode: string | undefined

  /** @param takesSocket a program that binds its port itself, like Docker's own, reports only the text of the error */
  constructor(reason: string, takesSocket: boolean) {
    super(reason)
    this.systemCode = takesSocket ? undefined : codeOfReason(reason)
  }
}

/** dockerd waits this long for the status, too; milliseconds. */
const READY_TIMEOUT_MS = 16_000
/** A longer report is cut off, bytes. */
const MAX_REPORT = 64 * 1024

/**
 * Reads from the status pipe whether a process is ready.
 * @param takesSocket see ProxyStartError
 * Rejects with ProxyStartError, after 16 seconds at the latest.
 */
export async function readStatus(pipe: Readable, takesSocket: boolean): Promise<void> {
  const timer = setTimeout(() => {
    const reason = `docker-proxy did not report within ${READY_TIMEOUT_MS / 1000} s whether it is ready`
    pipe.destroy(new ProxyStartError(reason, takesSocket))
  }, READY_TIMEOUT_MS)
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of pipe) {
      chunks.push(chunk as Buffer)
      size += (chunk as Buffer).length
      if (size >= MAX_REPORT) break
      if (size === STATUS_READY.length && Buffer.concat(chunks).toString() === STATUS_READY) return
    }
  } finally {
    clearTimeout(timer)
    pipe.destroy()
  }
  const text = Buffer.concat(chunks).subarray(0, MAX_REPORT).toString()
  const reason = (text.startsWith(STATUS_FAILED) ? text.slice(STATUS_FAILED.length) : text).trim()
  throw new ProxyStartError(
    reason === '' ? 'docker-proxy ended before it was ready' : reason,
    takesSocket,
  )
}
