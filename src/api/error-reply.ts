import { RequestError } from '../controller/request-error.js'
import { PortSpecError } from '../ports/port-spec.js'
import type { Log } from '../log/log.js'
import { Refusal } from '../ports/refusal.js'
import type { ErrorView } from './schemas.js'

/** HTTP status of each refusal; 409, conflict, for all others. */
const STATUS: Partial<Record<Refusal['code'], number>> = {
  'no-such-publication': 404,
  'no-such-container': 404,
  'bind-failed': 500,
  'proxy-failed': 500,
  'state-not-saved': 507,
  'no-answer': 503,
  'no-engine': 503,
}
const CONFLICT = 409
export const BAD_REQUEST = 400
export const UNAUTHORIZED = 401
export const FORBIDDEN = 403
const INTERNAL_ERROR = 500

/** Logs a fault of the daemon itself. */
export function logInternalError(
  log: Log,
  { method, url }: { readonly method: string; readonly url: string },
  status: number,
  { message }: ErrorView,
): void {
  if (status >= INTERNAL_ERROR) log.error(`${method} ${url}: ${message}`)
}

/** The HTTP status and the body that report an error. */
export function errorReply(err: unknown): { status: number; body: ErrorView } {
  const { message } = err as Error
  if (err instanceof Refusal) {
    return {
      status: STATUS[err.code] ?? CONFLICT,
      body: { code: err.code, message, ...err.details },
    }
  }
  if (err instanceof PortSpecError || err instanceof RequestError) {
    return { status: BAD_REQUEST, body: { code: 'bad-request', message } }
  }
  const { statusCode = INTERNAL_ERROR } = err as { statusCode?: number }
  const code = statusCode < INTERNAL_ERROR ? 'bad-request' : 'internal'
  return { status: statusCode, body: { code, message } }
}
