/** A promise that is settled from outside. Its rejection may stay unhandled. */
export function deferred(): {
  promise: Promise<void>
  resolve: () => void
  reject: (reason: Error) => void
} {
  let resolve!: () => void
  let reject!: (reason: Error) => void
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  promise.catch(() => undefined)
  return { promise, resolve, reject }
}
