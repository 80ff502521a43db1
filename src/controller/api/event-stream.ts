import { Readable } from 'node:stream'
import type { Controller } from '../controller.js'
import type { PublicationEvent } from './types.js'

/** How much may wait for a client that does not read, bytes; it is hung up on then. */
const MAX_WAITING = 1024 * 1024

/** The controller's events as lines of JSON, until the reader goes. */
export function eventStream(controller: Controller): Readable {
  const stream = new Readable({
    read: () => undefined,
    destroy(err, done) {
      controller.off('event', push)
      done(err)
    },
  })
  const push = (event: PublicationEvent): void => {
    stream.push(JSON.stringify(event) + '\n')
    if (stream.readableLength > MAX_WAITING) stream.destroy()
  }
  controller.on('event', push)
  // An empty line says at once that the events begin here.
  stream.push('\n')
  return stream
}
