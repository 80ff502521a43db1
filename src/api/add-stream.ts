import type { Readable } from 'node:stream'
import type { Controller } from '../controller/controller.js'
import type { PublicationRequest } from '../controller/publication-request.js'
import { lineStream } from '../log/line-stream.js'
import { errorReply } from './error-reply.js'
import type { AddProgressView } from './schemas.js'

/** Time between two lines, milliseconds. */
const INTERVAL_MS = 200

/** Publishes ports. The lines are the progress, and then the publication or the error. A client that leaves does not end it. */
export function addStream(controller: Controller, request: PublicationRequest): Readable {
  return lineStream((push, end) => {
    const write = (view: AddProgressView): void => push(JSON.stringify(view) + '\n')
    let writtenAt = -Infinity
    const onProgress = (ready: number, ports: number): void => {
      const now = performance.now()
      if (now < writtenAt + INTERVAL_MS) return
      writtenAt = now
      write({ ready, ports })
    }
    // The client learns at once that the daemon is at work.
    push('\n')
    controller
      .add(request, onProgress)
      .then(
        (publication) => write({ publication }),
        (err: unknown) => write({ error: errorReply(err).body }),
      )
      .finally(end)
    return () => undefined
  })
}
