import { Readable } from 'node:stream'
import type { Controller } from '../../controller/controller.js'
import type { PublicationEvent } from '../../controller/publication-event.js'
import type { Filters } from './container-filters.js'
import { containerId } from './published-container.js'

/** The filters of events. */
export const EVENT_FILTERS = ['type', 'event', 'container'] as const

/** A client that does not read is disconnected when this much waits for it, bytes. */
const MAX_WAITING = 1024 * 1024

/** The events of a container that a publication's event stands for. */
const ACTIONS: Readonly<Record<PublicationEvent['type'], readonly string[]>> = {
  published: ['create', 'start'],
  withdrawn: ['die', 'destroy'],
  moved: ['update'],
  waiting: ['create'],
  adopted: [],
  'proxy-exited': ['health_status: unhealthy'],
  'proxy-restarted': ['health_status: healthy'],
}

/**
 * The controller's events in the form of the Engine API, from now on.
 * @param untilMs when the stream ends, milliseconds since 1970; undefined for the client's end
 */
export function dockerEvents(
  controller: Controller,
  filters: Filters,
  untilMs: number | undefined,
): Readable {
  let timer: NodeJS.Timeout | undefined
  const stream = new Readable({
    read: () => undefined,
    destroy(err, done) {
      controller.off('event', push)
      clearTimeout(timer)
      done(err)
    },
  })
  const push = (event: PublicationEvent): void => {
    for (const action of ACTIONS[event.type]) {
      if (isWanted(event, action, filters)) stream.push(format(event, action))
    }
    if (stream.readableLength > MAX_WAITING) stream.destroy()
  }
  controller.on('event', push)
  // White space, so that the client has the reply at once.
  stream.push('\n')
  if (untilMs !== undefined) {
    timer = setTimeout(
      () => stream.push(null),
      Math.min(Math.max(0, untilMs - Date.now()), 2 ** 31 - 1),
    )
  }
  return stream
}

function isWanted({ publication }: PublicationEvent, action: string, filters: Filters): boolean {
  const allows = (name: string, isMeant: (value: string) => boolean): boolean =>
    filters.get(name)?.some(isMeant) ?? true
  return (
    allows('type', (value) => value === 'container') &&
    allows('event', (value) => value === action || action.startsWith(`${value}:`)) &&
    allows(
      'container',
      (value) => value === publication || containerId(publication).startsWith(value),
    )
  )
}

function format(
  { time, publication, port, reason, backend }: PublicationEvent,
  action: string,
): string {
  const id = containerId(publication)
  const ms = Date.parse(time)
  const attributes = {
    name: publication,
    ...(port === undefined ? {} : { port }),
    ...(reason === undefined ? {} : { reason }),
    ...(backend === undefined ? {} : { backend }),
  }
  const event = {
    ...{ status: action, id, from: '', Type: 'container', Action: action },
    Actor: { ID: id, Attributes: attributes },
    ...{ scope: 'local', time: Math.floor(ms / 1000), timeNano: NANO },
  }
  // The number has more digits than JavaScript's numbers keep.
  return `${JSON.stringify(event).replace(JSON.stringify(NANO), `${ms}000000`)}\n`
}

/** Stands for the nanoseconds of an event. */
const NANO = '@nanoseconds@'
