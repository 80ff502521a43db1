import { RequestError } from '../../controller/request-error.js'
import type { ContainerSummary } from './published-container.js'

/** Filters by their names; a container has to match one value of each. */
export type Filters = ReadonlyMap<string, readonly string[]>

/**
 * Reads the filters of a request: `{"name":["web"]}`, or `{"name":{"web":true}}` of older clients.
 * @param text JSON; undefined for none
 * @param known the names that may be used
 * @throws RequestError
 */
export function parseFilters(text: string | undefined, known: readonly string[]): Filters {
  let parsed: unknown
  try {
    parsed = JSON.parse(text || '{}')
  } catch {
    throw new RequestError(`invalid filters ${JSON.stringify(text)}: expected JSON`)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new RequestError(`invalid filters ${JSON.stringify(text)}: expected a JSON object`)
  }
  return new Map(
    Object.entries(parsed).map(([name, values]: [string, unknown]) => {
      if (!known.includes(name)) {
        throw new RequestError(
          `invalid filter ${JSON.stringify(name)}: expected one of ${known.join(', ')}`,
        )
      }
      const list: unknown[] = Array.isArray(values) ? values : Object.keys(values ?? {})
      const strings = list.filter((value) => typeof value === 'string')
      if (strings.length === list.length) return [name, strings] as const
      throw new RequestError(`invalid filter ${JSON.stringify(name)}: expected texts`)
    }),
  )
}

/** The filters of a list of containers. */
export const CONTAINER_FILTERS = ['id', 'name', 'status', 'label', 'publish', 'expose'] as const

/** Whether a container matches filters of CONTAINER_FILTERS. @throws RequestError for a filter that can't be read */
export function matches(container: ContainerSummary, filters: Filters): boolean {
  return [...filters].every(
    ([name, values]) =>
      // Clients send a filter without values to mean none.
      values.length === 0 ||
      values.some((value) => MATCHES[name as keyof typeof MATCHES](container, value)),
  )
}

/** The states of a container in the Engine API. */
const STATES = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead']

const MATCHES: Readonly<
  Record<(typeof CONTAINER_FILTERS)[number], (each: ContainerSummary, value: string) => boolean>
> = {
  id: ({ Id }, value) => Id.startsWith(value),
  name: ({ Names }, value) => {
    const accepts = nameFilter(value)
    return Names.some((name) => accepts(name.slice(1)))
  },
  status: ({ State }, value) => {
    if (STATES.includes(value)) return State === value
    throw new RequestError(
      `invalid filter ${JSON.stringify(`status=${value}`)}: expected one of ${STATES.join(', ')}`,
    )
  },
  label: ({ Labels }, value) => {
    const [key = '', ...rest] = value.split('=')
    const own = Object.hasOwn(Labels, key) ? Labels[key] : undefined
    return rest.length === 0 ? own !== undefined : own === rest.join('=')
  },
  publish: ({ Ports }, value) => {
    const accepts = portFilter('publish', value)
    return Ports.some(({ PublicPort, Type }) => accepts(PublicPort, Type))
  },
  expose: ({ Ports }, value) => {
    const accepts = portFilter('expose', value)
    return Ports.some(({ PrivatePort, Type }) => accepts(PrivatePort, Type))
  },
}

/** A part of a name; `^` and `$` stand for its ends, as in docker. @throws RequestError for other regular expressions */
function nameFilter(text: string): (name: string) => boolean {
  const [, start, part = '', end] = /^(\^?)\/?([\w.-]*)(\$?)$/.exec(text) ?? []
  if (start === undefined) {
    throw new RequestError(
      `invalid filter ${JSON.stringify(`name=${text}`)}: expected a part of a name, with ^ and $ for its ends`,
    )
  }
  return (name) => {
    if (start && end) return name === part
    if (start) return name.startsWith(part)
    return end ? name.endsWith(part) : name.includes(part)
  }
}

/** `8080`, `8080/udp` or `8000-8080/tcp`. @throws RequestError */
function portFilter(name: string, text: string): (port: number, protocol: string) => boolean {
  const [, first, last = first, protocol = 'tcp'] =
    /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(text) ?? []
  if (first === undefined) {
    throw new RequestError(
      `invalid filter ${JSON.stringify(`${name}=${text}`)}: expected a port, for example 8080/tcp`,
    )
  }
  return (port, own) => own === protocol && port >= Number(first) && port <= Number(last)
}
