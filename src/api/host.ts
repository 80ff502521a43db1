import { parseAddress } from '../linux/sockets/parse-address.js'
import { MAX_SOCKET_PATH } from '../linux/sockets/unix-path.js'
import { joinHostPort, MAX_PORT } from '../ports/host-port.js'

/** Where a daemon is reached, written as docker writes it: `unix:///run/docker-publish.sock`. */
export type Host =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly ip: string; readonly port: number }
  /** The sockets that systemd hands over. */
  | { readonly kind: 'fd' }
  | { readonly kind: 'ssh'; readonly user?: string; readonly host: string; readonly port?: number }

/** An invalid host. The message quotes it, and says what was expected. */
export class HostError extends Error {
  override readonly name = 'HostError'
  readonly code = 'EBADHOST'
}

const FORMS =
  'unix:///PATH, tcp://IP:PORT, fd:// (daemon only) or ssh://[USER@]HOST[:PORT] (client only)'

/** @throws HostError */
export function parseHost(text: string): Host {
  const [, scheme = '', rest = ''] = /^([a-z]+):\/\/(.*)$/s.exec(text) ?? []
  const host = PARSERS[scheme]?.(rest)
  if (host) return host
  throw new HostError(`invalid host ${JSON.stringify(text)}: expected ${FORMS}`)
}

export function formatHost(host: Host): string {
  switch (host.kind) {
    case 'unix':
      return `unix://${host.path}`
    case 'tcp':
      return `tcp://${joinHostPort(host.ip, host.port)}`
    case 'fd':
      return 'fd://'
    case 'ssh': {
      const user = host.user === undefined ? '' : `${host.user}@`
      const port = host.port === undefined ? '' : `:${host.port}`
      return `ssh://${user}${host.host}${port}`
    }
  }
}

const PARSERS: Record<string, (rest: string) => Host | undefined> = {
  unix(path) {
    if (!path.startsWith('/')) return undefined
    if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return { kind: 'unix', path }
    throw new HostError(
      `invalid host "unix://${path}": the path of a socket has at most ${MAX_SOCKET_PATH} bytes`,
    )
  },
  tcp(rest) {
    const address = parseAddress(rest)
    return address && { kind: 'tcp', ...address }
  },
  fd: (rest) => (rest === '' ? { kind: 'fd' } : undefined),
  ssh(rest) {
    // A name with a leading dash would be an option of ssh.
    const [, user, host, port] =
      /^(?:([\w.][\w.-]*)@)?([\w.][\w.-]*)(?::(\d{1,5}))?\/?$/.exec(rest) ?? []
    if (host === undefined || Number(port ?? 0) > MAX_PORT) return undefined
    return {
      kind: 'ssh',
      host,
      ...(user === undefined ? {} : { user }),
      ...(port === undefined ? {} : { port: Number(port) }),
    }
  },
}
