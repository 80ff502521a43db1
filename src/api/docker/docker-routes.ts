import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Log } from '../../log/log.js'
import type { Controller } from '../../controller/controller.js'
import type { PublicationView } from '../../controller/views.js'
import { RequestError } from '../../controller/request-error.js'
import { Refusal } from '../../ports/refusal.js'
import { VERSION } from '../../version.js'
import { errorReply, logInternalError } from '../error-reply.js'
import { sendJson } from '../send-json.js'
import { CONTAINER_FILTERS, matches, parseFilters } from './container-filters.js'
import { dockerEvents, EVENT_FILTERS } from './docker-events.js'
import { describeSystem, describeVersion } from './docker-system.js'
import { checkVersion, MAX_VERSION, splitVersion } from './docker-version.js'
import { containerId, describe, summarize } from './published-container.js'

/** Where the routes of the Engine API are, behind `rewriteDockerPath`. */
export const DOCKER_PREFIX = '/docker'

const NOT_IMPLEMENTED = 501
const NOT_FOUND = 404
const NO_CONTENT = 204
const UNVERSIONED =
  /^\/(_ping|version|info|events|containers|images|networks|volumes|plugins)(\/|\?|$)/
/** Kinds of objects that do not exist here: a client that looks for a name goes on with the next kind. */
const LOOK_UP =
  /^\/(?:(?:images|plugins)\/(.+)\/json|(?:networks|volumes|services|tasks|nodes|secrets|configs)\/([^/]+))$/

/** Parameters of a request. One that is repeated is a list. */
type Query = Readonly<Record<string, string | string[] | undefined>>
/** The longest time that the connections of a stopped publication have, seconds: a day. */
const MAX_DRAIN_SECONDS = 86_400
/** Signals that end a container. */
const ENDING_SIGNAL = /^(SIG)?(KILL|TERM|INT|QUIT)$|^(9|15|2|3)$/i

type ContainerRequest = FastifyRequest<{ Params: { name: string }; Querystring: Query }>

/** Leads paths of the Engine API, with a version or without, to its routes. */
export function rewriteDockerPath(path: string): string {
  if (splitVersion(path)) return DOCKER_PREFIX + path
  return UNVERSIONED.test(path) ? `${DOCKER_PREFIX}/v${MAX_VERSION}${path}` : path
}

/**
 * Adds the routes by which Docker's own clients see publications as containers.
 * Source: the Engine API's reference, https://docs.docker.com/reference/api/engine/
 */
export function addDockerRoutes(app: FastifyInstance, controller: Controller, log: Log): void {
  app.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    reply.headers({
      ...{ 'api-version': MAX_VERSION, 'docker-experimental': 'false', ostype: 'linux' },
      server: `docker-publish/${VERSION} (linux)`,
    })
    checkVersion((request.params as { version?: string }).version ?? MAX_VERSION)
    return Promise.resolve()
  })
  app.setErrorHandler((err, request, reply) => {
    const { status, body } = errorReply(err)
    logInternalError(log, request, status, body)
    return sendError(reply, status, body)
  })
  // A build, for example, sends an archive, which is answered like any other request that is not known.
  app.addContentTypeParser('*', (_request, body, done) => {
    body.resume()
    done(null)
  })
  addSystemRoutes(app, controller)
  addContainerRoutes(app, controller)
  app.all('/v:version/*', { schema: HIDDEN }, (request, reply) => {
    const path = `/${(request.params as { '*': string })['*']}`
    const [, image, other] = LOOK_UP.exec(path) ?? []
    const name = image ?? other
    if (request.method === 'GET' && name !== undefined) {
      return sendError(reply, NOT_FOUND, { message: `No such object: ${name}` })
    }
    const message = `docker-publish has no ${request.method} ${path}: it only publishes ports of containers that another engine runs, see "docker publish --help"`
    return sendError(reply, NOT_IMPLEMENTED, { message })
  })
}

/** The document describes our own API only. */
const HIDDEN = { hide: true }

function addSystemRoutes(app: FastifyInstance, controller: Controller): void {
  app.get('/v:version/_ping', { schema: HIDDEN }, (_request, reply) =>
    reply.header('cache-control', 'no-cache').type('text/plain; charset=utf-8').send('OK'),
  )
  app.get('/v:version/version', { schema: HIDDEN }, () => describeVersion())
  app.get('/v:version/info', { schema: HIDDEN }, async () =>
    describeSystem(await controller.list()),
  )
  app.get<{ Querystring: Query }>(
    '/v:version/events',
    { schema: HIDDEN, exposeHeadRoute: false },
    ({ query }, reply) => {
      const filters = parseFilters(first(query, 'filters'), EVENT_FILTERS)
      const text = first(query, 'until')
      const until = text ? Number(text) * 1000 : undefined
      if (Number.isNaN(until)) {
        throw new RequestError(`invalid until ${JSON.stringify(text)}: expected seconds`)
      }
      return reply.type('application/json').send(dockerEvents(controller, filters, until))
    },
  )
}

function addContainerRoutes(app: FastifyInstance, controller: Controller): void {
  app.get<{ Querystring: Query }>(
    '/v:version/containers/json',
    { schema: HIDDEN },
    async ({ query }, reply) => {
      const filters = parseFilters(first(query, 'filters'), CONTAINER_FILTERS)
      const now = Date.now()
      const showsAll = isTrue(query, 'all') || filters.has('status')
      const all = (await controller.list()).map((each) => summarize(each, now)).reverse()
      const wanted = Number(first(query, 'limit'))
      const limit = wanted > 0 ? wanted : undefined
      const shown = all.filter(
        (each) =>
          (showsAll || limit !== undefined || ['running', 'restarting'].includes(each.State)) &&
          matches(each, filters),
      )
      return sendJson(reply, shown.slice(0, limit))
    },
  )
  app.get(
    '/v:version/containers/:name/json',
    { schema: HIDDEN },
    async (request: ContainerRequest, reply) =>
      sendJson(reply, describe(await find(controller, request.params.name))),
  )
  const withdraw = async (request: ContainerRequest, reply: FastifyReply): Promise<void> => {
    const { name } = await find(controller, request.params.name)
    await controller.remove(name, { drainMs: drainSeconds(request.query) * 1000 })
    await reply.code(NO_CONTENT).send()
  }
  app.post('/v:version/containers/:name/stop', { schema: HIDDEN }, withdraw)
  app.post(
    '/v:version/containers/:name/kill',
    { schema: HIDDEN },
    async (request: ContainerRequest, reply) => {
      const signal = first(request.query, 'signal') ?? 'KILL'
      if (ENDING_SIGNAL.test(signal)) return withdraw(request, reply)
      throw new RequestError(
        `invalid signal: ${signal}: a publication is no process, and KILL, TERM, INT and QUIT withdraw it`,
      )
    },
  )
  app.delete(
    '/v:version/containers/:name',
    { schema: HIDDEN },
    async (request: ContainerRequest, reply) => {
      const found = await find(controller, request.params.name)
      const { State: state } = summarize(found, Date.now())
      if (state === 'running' && !isTrue(request.query, 'force')) {
        throw new Refusal(
          'busy',
          `cannot remove container "/${found.name}": container is running: stop the container before removing or force remove`,
        )
      }
      return withdraw(request, reply)
    },
  )
}

/** The time that connections have to end; by default none. @throws RequestError */
function drainSeconds(query: Query): number {
  const text = first(query, 't') ?? '0'
  const seconds = Number(text)
  // Docker's -1 stands for no limit.
  if (seconds === -1) return MAX_DRAIN_SECONDS
  if (seconds >= 0 && seconds <= MAX_DRAIN_SECONDS) return seconds
  throw new RequestError(
    `invalid time ${JSON.stringify(text)}: expected seconds, at most ${MAX_DRAIN_SECONDS}`,
  )
}

/** The first value of a parameter. */
function first(query: Query, name: string): string | undefined {
  const value = query[name]
  return Array.isArray(value) ? value[0] : value
}

/** Finds a publication by its name, or by its id or the start of it. Rejects with Refusal or RequestError. */
async function find(controller: Controller, text: string): Promise<PublicationView> {
  const name = text.replace(/^\//, '')
  const all = await controller.list()
  const named = all.find((each) => each.name === name)
  if (named) return named
  const found = /^[0-9a-f]+$/.test(name)
    ? all.filter((each) => containerId(each.name).startsWith(name))
    : []
  const [only, second] = found
  if (second) throw new RequestError(`multiple IDs found with provided prefix: ${name}`)
  if (only) return only
  throw new Refusal('no-such-publication', `No such container: ${name}`)
}

function isTrue(query: Query, name: string): boolean {
  const text = first(query, name)
  return text === '1' || text?.toLowerCase() === 'true'
}

/** Docker's clients read the message of an error only if its type has no charset. */
function sendError(reply: FastifyReply, status: number, body: { message: string }): FastifyReply {
  return reply
    .code(status)
    .type('application/json')
    .send(Buffer.from(JSON.stringify(body)))
}
