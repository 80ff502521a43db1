import { errnoReason } from '../linux/errno.js'
import type { Log } from '../log/log.js'
import type { LogTail } from '../log/log-tail.js'
import type { DescriptorBudget } from '../proxy/descriptor-budget.js'
import { drain } from '../proxy/drain.js'
import type { Proxy } from '../proxy/engine.js'
import type { LogObserver } from '../proxy/log-observer.js'
import type { PortOptionTexts } from '../proxy/port-options.js'
import type { PublishedPort } from '../proxy/published-port.js'
import { backendsOf, parseBackendList, type BackendList } from './backend-list.js'
import { ContainerWatch } from './container-watch.js'
import { CHAIN_VARIABLE, endTranslation, parseChain } from './own-translation.js'
import { logHandlers } from './own-log.js'
import { PORTS_REQUEST, portStatus } from './port-status.js'
import { replaceOptions } from './own-options.js'
import { BACKENDS_REQUEST, DRAIN_REQUEST, OPTIONS_REQUEST, RETIRE_REQUEST } from './proxy-orders.js'
import { serveStatus, STATUS_SOCKET_VARIABLE, type RequestHandlers } from './status-socket.js'

/** A port that this process serves. */
export interface OwnPort {
  readonly port: PublishedPort
  readonly proxy: Proxy
  readonly observer: LogObserver
}

/** State of this process beside its ports. */
export interface OwnProcess {
  /** The list that the ports have started with; undefined for the container IP of the flags. */
  readonly backends: BackendList | undefined
  /** The newest lines of its log. */
  readonly tail: LogTail
}

/**
 * Reports the ports of this process on a status socket, and takes the orders of its parent, if the parent has asked for one. A socket that
 * can't be used is only logged: the ports work without it.
 */
export async function serveOwnStatus(
  ports: readonly OwnPort[],
  descriptors: DescriptorBudget,
  log: Log,
  { backends, tail }: OwnProcess,
): Promise<void> {
  const path = process.env[STATUS_SOCKET_VARIABLE]
  if (!path) return
  const change = (list: BackendList): void => {
    for (const { port, proxy } of ports) {
      proxy.changeBackends(backendsOf(list, port.container.port))
    }
  }
  const chain = parseChain(process.env[CHAIN_VARIABLE])
  const published = ports.map(({ port }) => port)
  const lost = (ip: string): void => {
    if (chain) void endTranslation(chain, published, ip, log)
  }
  const containers = new ContainerWatch(change, lost, log)
  if (backends) {
    const left = containers.watch(backends)
    if (left.backends.length < backends.backends.length) change(left)
  }
  const since = Date.now()
  const handlers: RequestHandlers = {
    [PORTS_REQUEST]: () =>
      ports.map(({ port, proxy }) => portStatus(process.pid, port, proxy, since)),
    [BACKENDS_REQUEST](_, argument) {
      change(containers.watch(parseBackendList(argument)))
      return {}
    },
    [OPTIONS_REQUEST](_, argument) {
      replaceOptions(ports, JSON.parse(argument) as PortOptionTexts)
      return {}
    },
    [DRAIN_REQUEST](_, argument) {
      const drainMs = parseTime(argument)
      for (const { port, proxy } of ports) drain(port, proxy, drainMs)
      return {}
    },
    [RETIRE_REQUEST](_, argument) {
      const drainMs = parseTime(argument)
      for (const { proxy } of ports) proxy.stop({ drainMs })
      return {}
    },
    ...logHandlers(tail),
  }
  try {
    const server = await serveStatus(path, descriptors, handlers)
    server.unref()
  } catch (err) {
    log.warn(`Can't report connections and bytes: ${errnoReason(err)}`)
  }
}

/** @returns milliseconds; Infinity for no limit @throws Error */
function parseTime(text: string): number {
  const milliseconds = text === '' ? NaN : Number(text)
  if (milliseconds >= 0) return milliseconds
  throw new Error(`${JSON.stringify(text)} is not a time`)
}
