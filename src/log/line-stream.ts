import { Readable } from 'node:stream'

/** A reader that does not read is disconnected when this much waits for it, bytes. */
const MAX_WAITING = 1024 * 1024

/**
 * Lines as they come, until the reader has gone.
 * @param follow called once: it has `push` called with each line, `end` if no more will come, and returns what ends that
 */
export function lineStream(
  follow: (push: (line: string) => void, end: () => void) => () => void,
): Readable {
  let unfollow: () => void = () => undefined
  const stream = new Readable({
    read: () => undefined,
    destroy(err, done) {
      unfollow()
      done(err)
    },
  })
  let hasEnded = false
  const push = (line: string): void => {
    if (hasEnded || stream.destroyed) return
    stream.push(line)
    if (stream.readableLength > MAX_WAITING) stream.destroy()
  }
  const end = (): void => {
    hasEnded = true
    stream.push(null)
  }
  unfollow = follow(push, end)
  return stream
}
