import { Readable } from 'node:stream'
import type { Controller } from '../controller/controller.js'
import type { PublicationEvent } from '../controller/publication-event.js'

/** A client that does not read is disconnected when this much waits for it, bytes. */
const MAX_WAITING = 1024 * 1024

/** The controller's events as lines of JSON, until the client disconnects. */
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
  // An empty line tells the client at once that events are reported from here on.
  stream.push('\n')
  return stream
}
