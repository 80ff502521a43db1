import { createPrivateKey, X509Certificate } from 'node:crypto'
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
 * @throws HostError for a file that can't be read, or is not what its flag names
 */
export function readTls(files: TlsFiles): { ca: Buffer; cert: Buffer; key: Buffer } {
  const toCertificate = (data: Buffer): X509Certificate => new X509Certificate(data)
  const ca = read('tlscacert', files.ca, 'a PEM certificate', toCertificate)
  const cert = read('tlscert', files.cert, 'a PEM certificate', toCertificate)
  const key = read('tlskey', files.key, 'a PEM private key', createPrivateKey)
  if (!cert.parsed.checkPrivateKey(key.parsed)) {
    const [keyPath, certPath] = [files.key, files.cert].map((path) => JSON.stringify(path))
    throw new HostError(`the key ${keyPath} does not belong to the certificate ${certPath}`)
  }
  return { ca: ca.data, cert: cert.data, key: key.data }
}

function read<Parsed>(
  flag: string,
  path: string,
  expected: string,
  parse: (data: Buffer) => Parsed,
): { data: Buffer; parsed: Parsed } {
  let data: Buffer
  const file = `${JSON.stringify(path)}, named by --${flag}`
  try {
    data = readFileSync(path)
  } catch (err) {
    throw new HostError(`can't read ${file}: ${errnoReason(err)}`)
  }
  try {
    return { data, parsed: parse(data) }
  } catch {
    throw new HostError(`${file}, is not ${expected}`)
  }
}
