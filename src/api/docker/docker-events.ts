import type { Readable } from 'node:stream'
import type { Controller } from '../../controller/controller.js'
import type { PublicationEvent } from '../../controller/publication-event.js'
import { printable } from '../../printable.js'
import { eventStream } from '../event-stream.js'
import type { Filters } from './container-filters.js'
import { containerId } from './published-container.js'

/** The filters of events. */
export const EVENT_FILTERS = ['type', 'event', 'container'] as const

/** The events of a container that a publication's event stands for. */
const ACTIONS: Readonly<Record<PublicationEvent['type'], readonly string[]>> = {
  published: ['create', 'start'],
  withdrawn: ['die', 'destroy'],
  moved: ['update'],
  suspended: ['update'],
  changed: ['update'],
  upgraded: [],
  waiting: ['create'],
  refused: ['create'],
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
  const stream = eventStream(controller, (event) =>
    ACTIONS[event.type]
      .filter((action) => isWanted(event, action, filters))
      .map((action) => format(event, action))
      .join(''),
  )
  if (untilMs !== undefined) {
    const left = Math.min(Math.max(0, untilMs - Date.now()), MAX_TIMER_MS)
    const timer = setTimeout(() => stream.push(null), left)
    stream.once('close', () => clearTimeout(timer))
  }
  return stream
}

function isWanted({ publication }: PublicationEvent, action: string, filters: Filters): boolean {
  const allows = (name: string, accepts: (value: string) => boolean): boolean =>
    filters.get(name)?.some(accepts) ?? true
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
    ...(reason === undefined ? {} : { reason: printable(reason) }),
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

/** The longest timer of Node, milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1
/** Stands for the nanoseconds of an event. */
const NANO = '@nanoseconds@'
