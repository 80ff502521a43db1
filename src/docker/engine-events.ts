import type { IncomingMessage } from 'node:http'
import type { EngineClient } from './engine-client.js'

/** A change that an engine reports about a container. */
export interface EngineEvent {
  readonly containerId: string
  /**
   * `ended`: its process has ended, and its addresses are about to become free. `left`: a network has taken its address back. `changed`:
   * anything else.
   */
  readonly kind: 'ended' | 'left' | 'changed'
  /** The network of `left`; left out if the engine does not tell. */
  readonly networkId?: string
}

/** What is read of EventMessage of the Engine API. */
interface EventReply {
  readonly Type?: string
  readonly Action?: string
  readonly Actor?: { readonly ID?: string; readonly Attributes?: Readonly<Record<string, string>> }
}

/** Actions that change what is known of a container. Podman's are beside Docker's. */
const CHANGES: readonly string[] = [
  ...['create', 'start', 'restart', 'rename', 'update', 'pause', 'unpause', 'stop', 'kill'],
  ...['destroy', 'remove', 'connect', 'disconnect', 'init', 'cleanup'],
]
const ENDS: readonly string[] = ['die', 'died']

/**
 * Opens the events of containers and networks.
 * @param signal ends them
 * Rejects with EngineError. The iteration ends with the connection.
 */
export async function openEvents(
  client: EngineClient,
  signal: AbortSignal,
): Promise<AsyncIterable<EngineEvent>> {
  const filters = JSON.stringify({ type: ['container', 'network'] })
  const response = await client.stream('/events', { filters }, signal)
  // The connection may break before anybody reads. The reader gets the error as well.
  response.on('error', () => undefined)
  return parseEvents(linesOf(response))
}

/** The longest event, characters. Labels of a container are part of its events. */
const MAX_LINE = 4 * 1024 * 1024

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) {
    const lines = (text + String(chunk)).split('\n')
    text = lines.pop() ?? ''
    if (text.length > MAX_LINE) throw new Error(`an event is longer than ${MAX_LINE} characters`)
    yield* lines
  }
}

async function* parseEvents(lines: AsyncIterable<string>): AsyncGenerator<EngineEvent> {
  for await (const line of lines) {
    if (line === '') continue
    const event = parseEvent(JSON.parse(line) as EventReply)
    if (event) yield event
  }
}

function parseEvent({ Type: type, Action: action = '', Actor: actor }: EventReply) {
  const id = actor?.ID ?? ''
  if (type === 'network') {
    const container = actor?.Attributes?.['container']
    // Podman names the container in the place of the network.
    return container === undefined
      ? networkEvent(action, id, undefined)
      : networkEvent(action, container, id)
  }
  if (type !== 'container' || id === '') return undefined
  if (ENDS.includes(action)) return { containerId: id, kind: 'ended' } as const
  return CHANGES.includes(action) ? ({ containerId: id, kind: 'changed' } as const) : undefined
}

function networkEvent(
  action: string,
  containerId: string,
  networkId: string | undefined,
): EngineEvent | undefined {
  if (containerId === '') return undefined
  if (action === 'connect') return { containerId, kind: 'changed' }
  if (action !== 'disconnect') return undefined
  return { containerId, kind: 'left', ...(networkId === undefined ? {} : { networkId }) }
}
