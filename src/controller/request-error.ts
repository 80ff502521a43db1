/** A request that makes no sense whoever holds what; the message says what was expected. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly code = 'bad-request'
}
