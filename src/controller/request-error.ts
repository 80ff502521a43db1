/** An invalid request. The message says what was expected. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
  readonly code = 'bad-request'
}
