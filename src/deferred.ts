/** A promise that others settle. Nobody need listen for its rejection. */
export function deferred(): {
  promise: Promise<void>
  resolve: () => void
  reject: (reason: Error) => void
} {
  let resolve!: () => void
  let reject!: (reason: Error) => void
  const promise = new Promise<void>((ok, fail) => {
    resolve = ok
    reject = fail
  })
  promise.catch(() => undefined)
  return { promise, resolve, reject }
}
