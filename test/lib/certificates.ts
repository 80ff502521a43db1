import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execaSync } from 'execa'

/** TLS flags with the files of one side. */
export type TlsFlags = readonly string[]

/** Makes an authority in `folder`, a certificate for a server on 127.0.0.1, and one for a client. */
export function makeCertificates(folder: string): { server: TlsFlags; client: TlsFlags } {
  const openssl = (...args: string[]): void => {
    execaSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-subj',
    '/CN=test',
    '-days',
    '1',
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
  )
  const sign = (name: string, usage: string): TlsFlags => {
    writeFileSync(
      join(folder, `${name}.ext`),
      `subjectAltName=IP:127.0.0.1\nextendedKeyUsage=${usage}\n`,
    )
    openssl(
      'req',
      ...newKey,
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
    )
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '1'],
      ...['-CAcreateserial', '-extfile', `${name}.ext`, '-out', `${name}.pem`],
    )
    return [
      ...['--tlsverify', '--tlscacert', join(folder, 'ca.pem')],
      ...['--tlscert', join(folder, `${name}.pem`), '--tlskey', join(folder, `${name}.key`)],
    ]
  }
  return { server: sign('server', 'serverAuth'), client: sign('client', 'clientAuth') }
}
