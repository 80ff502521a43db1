import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { Controller } from '../controller/controller.js'
import type { PublicationRequest } from '../controller/publication-request.js'
import { errorReply } from './error-reply.js'
import type { AddProgressView } from './schemas.js'

/** Time between two lines, milliseconds. */
const INTERVAL_MS = 200

/** Publishes ports. The lines are the progress, and then the publication or the error. A client that leaves does not end it. */
export function addStream(controller: Controller, request: PublicationRequest): Readable {
  let progress: AddProgressView | undefined
  const added = controller
    .add(request, (ready, ports) => (progress = { ready, ports }))
    .then(
      (publication): AddProgressView => ({ publication }),
      (err: unknown): AddProgressView => ({ error: errorReply(err).body }),
    )
  async function* lines(): AsyncGenerator<string> {
    // The client learns at once that the daemon is at work.
    yield '\n'
    for (;;) {
      const timer = new AbortController()
      const tick = delay(INTERVAL_MS, undefined, { signal: timer.signal }).catch(() => undefined)
      const result = await Promise.race([added, tick])
      timer.abort()
      if (result) {
        yield JSON.stringify(result) + '\n'
        return
      }
      if (progress) yield JSON.stringify(progress) + '\n'
      progress = undefined
    }
  }
  return Readable.from(lines())
}
