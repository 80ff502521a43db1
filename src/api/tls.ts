import { readFileSync } from 'node:fs'
import { errnoReason } from '../linux/errno.js'
import { HostError } from './host.js'

/** The files that docker's TLS flags name. */
export interface TlsFiles {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/**
 * Reads the certificates of a connection on which both sides must show one.
 * @throws HostError for a file that can't be read
 */
export function readTls(files: TlsFiles): { ca: Buffer; cert: Buffer; key: Buffer } {
  return {
    ca: read('tlscacert', files.ca),
    cert: read('tlscert', files.cert),
    key: read('tlskey', files.key),
  }
}

function read(flag: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (err) {
    const reason = errnoReason(err)
    throw new HostError(`can't read ${JSON.stringify(path)}, named by --${flag}: ${reason}`)
  }
}
