import type { Readable } from 'node:stream'
import type { Controller } from '../controller/controller.js'
import type { PublicationEvent } from '../controller/publication-event.js'
import { lineStream } from '../log/line-stream.js'

/**
 * The controller's events as text, until the client disconnects.
 * @param format returns the text of an event, which may be empty
 */
export function eventStream(
  controller: Controller,
  format = (event: PublicationEvent): string => JSON.stringify(event) + '\n',
): Readable {
  return lineStream((push) => {
    const report = (event: PublicationEvent): void => {
      const text = format(event)
      if (text !== '') push(text)
    }
    controller.on('event', report)
    // An empty line tells the client at once that events are reported from here on.
    push('\n')
    return () => controller.off('event', report)
  })
}
