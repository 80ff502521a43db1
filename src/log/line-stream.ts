import { Readable } from 'node:stream'

/** A reader that does not read is disconnected when this much waits for it, bytes. */
const MAX_WAITING = 1024 * 1024

/**
 * Lines as they come, until the reader has gone.
 * @param follow called once: it has `push` called with each line, and returns what ends that
 */
export function lineStream(follow: (push: (line: string) => void) => () => void): Readable {
  let unfollow: () => void = () => undefined
  const stream = new Readable({
    read: () => undefined,
    destroy(err, done) {
      unfollow()
      done(err)
    },
  })
  const push = (line: string): void => {
    if (stream.destroyed) return
    stream.push(line)
    if (stream.readableLength > MAX_WAITING) stream.destroy()
  }
  unfollow = follow(push)
  // The lines so far may have been too many.
  if (stream.destroyed) unfollow()
  return stream
}
