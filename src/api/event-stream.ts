import { Readable } from 'node:stream'
import type { Controller } from '../controller/controller.js'
import type { PublicationEvent } from '../controller/publication-event.js'

/** A client that does not read is disconnected when this much waits for it, bytes. */
const MAX_WAITING = 1024 * 1024

/**
 * The controller's events as text, until the client disconnects.
 * @param format returns the text of an event, which may be empty
 */
export function eventStream(
  controller: Controller,
  format = (event: PublicationEvent): string => JSON.stringify(event) + '\n',
): Readable {
  const stream = new Readable({
    read: () => undefined,
    destroy(err, done) {
      controller.off('event', push)
      done(err)
    },
  })
  const push = (event: PublicationEvent): void => {
    const text = format(event)
    if (text !== '') stream.push(text)
    if (stream.readableLength > MAX_WAITING) stream.destroy()
  }
  controller.on('event', push)
  // An empty line tells the client at once that events are reported from here on.
  stream.push('\n')
  return stream
}
