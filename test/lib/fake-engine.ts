import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Test } from 'tap'
import type { InspectReply } from '../../src/docker/container.js'
import { serveHttp } from './http-socket.js'

/** A program that answers as a Docker Engine. The test decides what it knows, and what it reports. */
export interface FakeEngine {
  readonly host: string
  readonly containers: Map<string, InspectReply>
  /** The services of a swarm; undefined for an engine without one. */
  services: readonly object[] | undefined
  /** Paths of all requests so far. */
  readonly requests: string[]
  /** Replies about services wait until this resolves. */
  listing: Promise<unknown>
  /** Replies to inspections wait until this resolves. */
  inspecting: Promise<unknown>
  /** Sends an event to all readers. */
  report(type: string, action: string, id: string, attributes?: Record<string, string>): void
  /** Sends text to all readers of events. */
  send(text: string): void
  /** Ends the connections of all readers of events. */
  endEvents(): void
}

const NETWORKS = [{ Id: 'bridge-id', Name: 'bridge', Driver: 'bridge', Internal: false }]

/** Makes what a Docker Engine tells about a container. */
export function inspectReply(id: string, name: string, ip = '172.17.0.2'): InspectReply {
  return {
    ...{ Id: id, Name: `/${name}`, State: { Running: ip !== '', Pid: 0 } },
    Config: { Image: 'web:local', Labels: null, ExposedPorts: { '80/tcp': {} } },
    HostConfig: { NetworkMode: 'bridge' },
    NetworkSettings: {
      Ports: {},
      Networks: { bridge: { NetworkID: 'bridge-id', IPAddress: ip, GlobalIPv6Address: '' } },
    },
  }
}

export async function startFakeEngine(t: Test): Promise<FakeEngine> {
  const containers: FakeEngine['containers'] = new Map()
  const readers = new Set<ServerResponse>()
  const requests: string[] = []
  const answer = async ({ url = '' }: IncomingMessage, response: ServerResponse): Promise<void> => {
    requests.push(url)
    const { pathname } = new URL(url, 'http://engine')
    const path = pathname.replace(/^\/v[0-9.]+/, '')
    const json = (value: unknown, status = 200): void => {
      response.writeHead(status, { 'Content-Type': 'application/json' })
      response.end(JSON.stringify(value))
    }
    if (path === '/_ping') return void response.setHeader('Api-Version', '1.41').end('OK')
    if (path === '/networks') return json(NETWORKS)
    if (path === '/services') {
      await engine.listing
      return engine.services
        ? json(engine.services)
        : json({ message: 'This node is not a swarm manager.' }, 503)
    }
    if (path === '/containers/json') {
      return json([...containers.values()].map(({ Id, Name }) => ({ Id, Names: [Name] })))
    }
    if (path === '/events') {
      readers.add(response.on('close', () => readers.delete(response)))
      return response.flushHeaders()
    }
    const id = /^\/containers\/(.+)\/json$/.exec(path)?.[1] ?? ''
    const reply = containers.get(id)
    await engine.inspecting
    return reply ? json(reply) : json({ message: `No such container: ${id}` }, 404)
  }
  const host = await serveHttp(t, (request, response) => void answer(request, response))
  const engine: FakeEngine = {
    ...{ host, containers, requests, services: undefined },
    ...{ inspecting: Promise.resolve(), listing: Promise.resolve() },
    report(Type, Action, ID, Attributes = {}) {
      engine.send(`${JSON.stringify({ Type, Action, Actor: { ID, Attributes } })}\n`)
    },
    send(text) {
      for (const reader of readers) reader.write(text)
    },
    endEvents() {
      for (const reader of readers) reader.destroy()
    },
  }
  return engine
}
