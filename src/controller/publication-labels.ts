import type { Container } from '../docker/container.js'
import { PortIndex } from '../ports/claims/port-index.js'
import type { HostPort } from '../ports/host-port.js'
import { parsePortSpecs } from '../ports/port-spec.js'
import { printable } from '../printable.js'
import { parsePortOptions, PORT_OPTIONS, PortOptionError } from '../proxy/port-options.js'
import { WHEN_STOPPED } from './following.js'
import type { PublicationRequest } from './publication-request.js'
import { VIA } from './via.js'

/** Labels by which a container asks for publications. */
const PREFIX = 'docker-publish.'
/** The `-p` of the container, separated by commas. */
const PORTS_LABEL = `${PREFIX}ports`
const LABELS = {
  ports: PORTS_LABEL,
  name: `${PREFIX}name`,
  network: `${PREFIX}network`,
  whenStopped: `${PREFIX}when-stopped`,
  via: `${PREFIX}via`,
} as const
/** The labels of options, and the names of these. */
const OPTION_LABELS: Readonly<Record<string, string>> = Object.fromEntries(
  PORT_OPTIONS.map(({ name }) => [`${PREFIX}${name}`, name]),
)

const EXPECTED = 'expected ports as for -p, for example 8080:80'

/** Labels that can't be followed. The message quotes them. */
class LabelError extends Error {
  override readonly name = 'LabelError'
}

/**
 * Reads what the labels of a container ask for. The publication has the container's name, unless a label names it.
 * @returns undefined if they ask for nothing
 * @throws LabelError
 */
export function requestOfLabels({ id, name, labels }: Container): PublicationRequest | undefined {
  const own = Object.keys(labels).filter((label) => label.startsWith(PREFIX))
  if (own.length === 0) return undefined
  const known: readonly string[] = [...Object.values(LABELS), ...Object.keys(OPTION_LABELS)]
  const unknown = own.find((label) => !known.includes(label))
  if (unknown !== undefined) {
    throw new LabelError(`unknown label ${printable(unknown)}: expected ${known.join(', ')}`)
  }
  const value = labels[LABELS.ports]
  if (value === undefined) throw new LabelError(`the label ${LABELS.ports} is missing: ${EXPECTED}`)
  const ports = value
    .split(',')
    .map((port) => port.trim())
    .filter((port) => port !== '')
  if (ports.length === 0) {
    throw new LabelError(`the label ${LABELS.ports} names no port: ${EXPECTED}`)
  }
  const network = labels[LABELS.network]
  return {
    ...{ name: labels[LABELS.name] ?? name, container: id, ports },
    ...(network === undefined ? {} : { network }),
    whenStopped: choiceOf(labels, LABELS.whenStopped, WHEN_STOPPED),
    via: choiceOf(labels, LABELS.via, VIA),
    ...optionsOf(labels),
  }
}

/** All labels of a container for docker-publish, as a text to compare; undefined if they name no ports. */
export function textOfLabels(labels: Container['labels']): string | undefined {
  const ports = labels[PORTS_LABEL]
  const own = Object.entries(labels).filter(([label]) => label.startsWith(PREFIX))
  // The form of a container that has only this label.
  if (own.length <= 1 || ports === undefined) return ports
  return JSON.stringify(own.sort(([one], [other]) => (one < other ? -1 : 1)))
}

/**
 * Refuses ports of which one would exclude another for ever.
 * Rejects with LabelError, or with PortSpecError.
 */
export async function refuseRepeatedPorts(ports: readonly string[]): Promise<void> {
  const named = new PortIndex<HostPort>()
  for (const { protocol, ip, hostPorts } of await parsePortSpecs(ports)) {
    if (!hostPorts || hostPorts.first < hostPorts.last) continue
    for (const each of ip === undefined ? ['0.0.0.0', '::'] : [ip]) {
      const port = { protocol, ip: each, port: hostPorts.first }
      if (named.find(port)) {
        throw new LabelError(`the label ${PORTS_LABEL} names ${port.port}/${protocol} twice`)
      }
      named.add(port)
    }
  }
}

/** @throws LabelError */
function optionsOf(labels: Container['labels']): Pick<PublicationRequest, 'options'> {
  const given = Object.entries(OPTION_LABELS).flatMap(([label, name]) => {
    const text = labels[label]
    return text === undefined ? [] : [[name, text] as const]
  })
  if (given.length === 0) return {}
  const options = Object.fromEntries(given)
  try {
    parsePortOptions(options, (name) => `${PREFIX}${name}`)
  } catch (err) {
    throw err instanceof PortOptionError ? new LabelError(err.message) : err
  }
  return { options }
}

/** The value of a label that names a choice; without the label the first one. @throws LabelError */
function choiceOf<Choice extends string>(
  labels: Container['labels'],
  label: string,
  choices: readonly [Choice, ...Choice[]],
): Choice {
  const text = labels[label]
  if (text === undefined) return choices[0]
  const choice = choices.find((each) => each === text)
  if (choice !== undefined) return choice
  throw new LabelError(`invalid ${label} ${JSON.stringify(text)}: expected ${choices.join(', ')}`)
}
