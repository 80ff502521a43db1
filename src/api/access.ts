import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { parseIp } from '../linux/sockets/ip-address.js'
import { FORBIDDEN, UNAUTHORIZED } from './error-reply.js'
import type { ErrorView } from './schemas.js'
import { isSameToken } from './token.js'

/** Access rules of a TCP host of the API. On a unix socket the permissions of the file decide. */
export interface AccessRules {
  /** Whether clients have shown a certificate. */
  readonly hasTls: boolean
  /** The token that clients must show; undefined for none. */
  readonly token: string | undefined
}

/**
 * Lets only permitted requests through to a handler. Other requests get an error of the API.
 *
 * A web page in a browser of this machine can reach a loopback address as well. Its requests have an `Origin`, or after DNS rebinding the
 * page's own name as `Host`, see https://fetch.spec.whatwg.org/#origin-header.
 */
export function permitted(handler: RequestListener, rules: AccessRules): RequestListener {
  return (request, response) => {
    const refusal = refusalOf(request, rules)
    if (refusal) refuse(response, refusal.status, refusal.body)
    else handler(request, response)
  }
}

function refusalOf(
  { headers }: IncomingMessage,
  { hasTls, token }: AccessRules,
): { status: number; body: ErrorView } | undefined {
  const { host = '', origin } = headers
  const ownOrigin = `${hasTls ? 'https' : 'http'}://${host}`
  const isForeign =
    (origin !== undefined && origin !== ownOrigin) || headers['sec-fetch-site'] === 'cross-site'
  if (isForeign) {
    const message = `the request comes from a web page of ${JSON.stringify(origin ?? 'another site')}: only pages of ${ownOrigin} may send requests`
    return { status: FORBIDDEN, body: { code: 'forbidden', message } }
  }
  // With TLS, the certificate binds the name to this daemon.
  if (!hasTls && !isLocalName(host)) {
    const message = `the request is for the host ${JSON.stringify(host)}: use an IP address or localhost`
    return { status: FORBIDDEN, body: { code: 'forbidden', message } }
  }
  if (token !== undefined && !isSameToken(headers.authorization ?? '', `Bearer ${token}`)) {
    const message =
      headers.authorization === undefined
        ? 'the request has no token: name its file with --token-file'
        : 'the token of the request is not the token of this daemon'
    return { status: UNAUTHORIZED, body: { code: 'unauthorized', message } }
  }
  return undefined
}

/** Whether a `Host` header names this machine by an address, or as localhost. A client without one is no browser. */
function isLocalName(host: string): boolean {
  const [, bracketed, bare = ''] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? []
  if (host === '' || bare.toLowerCase() === 'localhost') return true
  return parseIp(bracketed ?? bare) !== undefined
}

function refuse(response: ServerResponse, status: number, body: ErrorView): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...(status === UNAUTHORIZED ? { 'www-authenticate': 'Bearer' } : {}),
    connection: 'close',
  })
  response.end(text)
}
