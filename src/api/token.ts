import { randomBytes, timingSafeEqual } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { ANY_ACCESS_FOR_OTHERS, OWNER_ONLY } from '../linux/file-modes.js'
import { HostError } from './host.js'

/** Random bytes of a token that we make. */
const TOKEN_BYTES = 32
/** What an HTTP header may contain, see RFC 6750, section 2.1. Shorter tokens could be guessed. */
const TOKEN = /^[\w.~+/-]{16,}=*$/

/**
 * Reads the token of a daemon. A file that does not exist is made, with a new token that only its owner can read.
 * @throws HostError
 */
export function openToken(path: string): string {
  try {
    const token = randomBytes(TOKEN_BYTES).toString('base64url')
    writeFileSync(path, `${token}\n`, { mode: OWNER_ONLY, flag: 'wx' })
    return token
  } catch (err) {
    if (errnoCode(err) === 'EEXIST') return readToken(path)
    throw new HostError(
      `can't make the token file ${JSON.stringify(path)}: ${errnoReason(err)}; name another one with --token-file`,
    )
  }
}

/**
 * Reads the token of a daemon from a file that its owner alone can read.
 * @throws HostError
 */
export function readToken(path: string): string {
  const file = `the token file ${JSON.stringify(path)}`
  let text: string
  let mode: number
  try {
    const fd = openSync(path, 'r')
    try {
      mode = fstatSync(fd).mode
      text = readFileSync(fd, 'utf8').trim()
    } finally {
      closeSync(fd)
    }
  } catch (err) {
    throw new HostError(`can't read ${file}: ${errnoReason(err)}`)
  }
  if ((mode & ANY_ACCESS_FOR_OTHERS) !== 0) {
    throw new HostError(`other users can access ${file}: prevent that with chmod go-rwx`)
  }
  if (!TOKEN.test(text)) {
    throw new HostError(
      `${file} contains no token: expected at least 16 letters, digits or any of -._~+/, for example of openssl rand -hex 32; without the file, the daemon makes one`,
    )
  }
  return text
}

/** Whether two tokens are equal, in a time that does not depend on where they differ. */
export function isSameToken(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
