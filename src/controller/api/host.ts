import { isIP } from 'node:net'

/** Where a daemon is reached, written as docker writes its own: `unix:///run/docker-publish.sock`. */
export type Host =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly ip: string; readonly port: number }
  /** The sockets that systemd hands over. */
  | { readonly kind: 'fd' }
  | { readonly kind: 'ssh'; readonly user?: string; readonly host: string; readonly port?: number }

/** A host that can't be used; the message quotes it, and says what was expected. */
export class HostError extends Error {
  override readonly name = 'HostError'
  readonly code = 'EBADHOST'
}

/** What struct sockaddr_un has room for, see unix(7); libuv would cut off the rest. */
const MAX_SOCKET_PATH = 107
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
      return `tcp://${isIP(host.ip) === 6 ? `[${host.ip}]` : host.ip}:${host.port}`
    case 'fd':
      return 'fd://'
    case 'ssh':
      return `ssh://${host.user === undefined ? '' : `${host.user}@`}${host.host}${host.port === undefined ? '' : `:${host.port}`}`
  }
}

const PARSERS: Record<string, (rest: string) => Host | undefined> = {
  unix(path) {
    if (!path.startsWith('/')) return undefined
    if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return { kind: 'unix', path }
    throw new HostError(
      `invalid host "unix://${path}": a socket's path has at most ${MAX_SOCKET_PATH} bytes`,
    )
  },
  tcp(rest) {
    const [, bracketed, bare, port] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(rest) ?? []
    const ip = (bracketed ?? bare) === 'localhost' ? '127.0.0.1' : (bracketed ?? bare ?? '')
    if (isIP(ip) === 0 || Number(port) > 65_535) return undefined
    return { kind: 'tcp', ip, port: Number(port) }
  },
  fd: (rest) => (rest === '' ? { kind: 'fd' } : undefined),
  ssh(rest) {
    // A name that begins with a dash would be an option to ssh.
    const [, user, host, port] =
      /^(?:([\w.][\w.-]*)@)?([\w.][\w.-]*)(?::(\d{1,5}))?\/?$/.exec(rest) ?? []
    if (host === undefined) return undefined
    return {
      kind: 'ssh',
      host,
      ...(user === undefined ? {} : { user }),
      ...(port === undefined ? {} : { port: Number(port) }),
    }
  },
}

/** Whether only this machine's own processes reach the address. */
export function isLoopback(ip: string): boolean {
  return ip === '::1' || ip.startsWith('127.')
}
