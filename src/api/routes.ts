import type { FastifyInstance } from 'fastify'
import type { Controller } from '../controller/controller.js'
import { listDockerPorts } from '../controller/docker-ports.js'
import type { PublicationRequest } from '../controller/publication-request.js'
import { RequestError } from '../controller/request-error.js'
import { DRAIN_EXPECTED, parseDrain } from '../duration.js'
import { COMMIT, VERSION } from '../version.js'
import { API_VERSION } from './api-version.js'
import { addStream } from './add-stream.js'
import { eventStream } from './event-stream.js'
import { sendJson } from './send-json.js'
import type { ChangeRequest, CheckRequest } from './schemas.js'

const ref = (name: string) => ({ $ref: `${name}#` })
/** The error replies of every request. */
const ERRORS = { '4xx': ref('Error'), '5xx': ref('Error') }
const NAME_PARAM = {
  type: 'object',
  properties: { name: { type: 'string' } },
  required: ['name'],
}

const DRAIN_QUERY = {
  type: 'object',
  properties: {
    drain: { type: 'string', description: 'Time that open connections have to end: 30s' },
  },
}

const PROGRESS_QUERY = {
  type: 'object',
  properties: {
    progress: {
      ...{ type: 'string', enum: ['true', 'false'] },
      description: 'Reply with 200 and lines of JSON: the progress, and then the result',
    },
  },
}

const LOG_QUERY = {
  type: 'object',
  properties: {
    tail: { type: 'string', pattern: '^[0-9]{1,9}$', description: 'The number of lines at most' },
    follow: {
      ...{ type: 'string', enum: ['true', 'false'] },
      description: 'Lines from now on as well, until the publication is withdrawn',
    },
  },
}

/** @throws RequestError */
function drainOf(text: string | undefined): number {
  const ms = text === undefined ? 0 : parseDrain(text)
  if (ms !== undefined) return ms
  throw new RequestError(`invalid drain ${JSON.stringify(text)}: expected ${DRAIN_EXPECTED}`)
}

/** Adds the routes of publications. */
export function addPublicationRoutes(app: FastifyInstance, controller: Controller): void {
  app.get(
    '/publications',
    {
      schema: {
        summary: 'All publications',
        response: { 200: { type: 'array', items: ref('Publication') }, ...ERRORS },
      },
    },
    async (_request, reply) => sendJson(reply, await controller.list()),
  )
  app.post<{ Body: PublicationRequest; Querystring: { progress?: string } }>(
    '/publications',
    {
      schema: {
        summary: 'Publish ports of a container: all of them, or none',
        querystring: PROGRESS_QUERY,
        body: ref('PublicationRequest'),
        response: {
          200: { content: { 'application/x-ndjson': { schema: ref('AddProgress') } } },
          201: ref('Publication'),
          ...ERRORS,
        },
      },
    },
    async ({ body, query }, reply) => {
      if (query.progress !== 'true') return sendJson(reply.code(201), await controller.add(body))
      return reply.type('application/x-ndjson').send(addStream(controller, body))
    },
  )
  app.get<{ Params: { name: string } }>(
    '/publications/:name',
    {
      schema: {
        summary: 'One publication',
        params: NAME_PARAM,
        response: { 200: ref('Publication'), ...ERRORS },
      },
    },
    async (request, reply) => sendJson(reply, await controller.get(request.params.name)),
  )
  app.patch<{ Params: { name: string }; Body: ChangeRequest }>(
    '/publications/:name',
    {
      schema: {
        summary: 'Change options of a publication; the others stay',
        params: NAME_PARAM,
        body: ref('ChangeRequest'),
        response: { 200: ref('Publication'), ...ERRORS },
      },
    },
    async (request, reply) =>
      sendJson(reply, await controller.set(request.params.name, request.body.options)),
  )
  app.get<{ Params: { name: string } }>(
    '/publications/:name/connections',
    {
      schema: {
        summary: 'The open TCP connections of the clients of a publication',
        params: NAME_PARAM,
        response: { 200: { type: 'array', items: ref('Connection') }, ...ERRORS },
      },
    },
    async (request, reply) => sendJson(reply, controller.connections(request.params.name)),
  )
  app.get<{ Params: { name: string }; Querystring: { tail?: string; follow?: string } }>(
    '/publications/:name/log',
    {
      exposeHeadRoute: false,
      schema: {
        summary:
          'The newest lines that the processes of a publication have logged, one JSON object per line',
        params: NAME_PARAM,
        querystring: LOG_QUERY,
        response: {
          200: { content: { 'application/x-ndjson': { schema: ref('LogLine') } } },
          ...ERRORS,
        },
      },
    },
    ({ params: { name }, query: { tail, follow } }, reply) => {
      const request = { count: Number(tail ?? Infinity), follows: follow === 'true' }
      return reply.type('application/x-ndjson').send(controller.log(name, request))
    },
  )
  app.post<{ Params: { name: string }; Querystring: { drain?: string } }>(
    '/publications/:name/upgrade',
    {
      schema: {
        summary:
          'Replace the processes of a publication by the installed program; no client notices it',
        params: NAME_PARAM,
        querystring: DRAIN_QUERY,
        response: { 200: ref('Upgrade'), ...ERRORS },
      },
    },
    async ({ params: { name }, query: { drain } }, reply) =>
      sendJson(
        reply,
        await controller.upgrade(name, drain === undefined ? Infinity : drainOf(drain)),
      ),
  )
  app.delete<{ Params: { name: string }; Querystring: { drain?: string } }>(
    '/publications/:name',
    {
      schema: {
        summary: 'Withdraw a publication; its ports are free when the reply comes',
        params: NAME_PARAM,
        querystring: DRAIN_QUERY,
        response: { 204: { type: 'null' }, ...ERRORS },
      },
    },
    async (request, reply) => {
      await controller.remove(request.params.name, { drainMs: drainOf(request.query.drain) })
      return reply.code(204).send()
    },
  )
}

/** Adds all other routes. @param proxydDir run folder of a docker-proxyd that may serve dockerd's ports */
export function addOtherRoutes(
  app: FastifyInstance,
  controller: Controller,
  proxydDir: string | undefined,
): void {
  app.get(
    '/version',
    {
      schema: {
        summary: 'The version of the daemon',
        response: { 200: ref('Version'), ...ERRORS },
      },
    },
    () => ({ version: VERSION, commit: COMMIT, apiVersion: API_VERSION }),
  )
  app.get(
    '/docker-ports',
    {
      schema: {
        summary: 'Ports that dockerd has published',
        response: { 200: { type: 'array', items: ref('DockerPort') }, ...ERRORS },
      },
    },
    async (_request, reply) =>
      sendJson(reply, await listDockerPorts(proxydDir, controller.containers)),
  )
  app.get<{ Params: { name: string } }>(
    '/containers/:name',
    {
      schema: {
        summary: 'A container or a compose service, and who publishes its ports',
        params: NAME_PARAM,
        response: { 200: ref('Container'), ...ERRORS },
      },
    },
    async (request, reply) => sendJson(reply, await controller.container(request.params.name)),
  )
  app.post<{ Body: CheckRequest }>(
    '/check',
    {
      schema: {
        summary: 'The ports that a publication would bind; nothing is bound',
        body: ref('CheckRequest'),
        response: { 200: { type: 'array', items: ref('HostPort') }, ...ERRORS },
      },
    },
    async (request, reply) => sendJson(reply, await controller.check(request.body.ports)),
  )
  app.get(
    '/events',
    {
      // Its stream would have no reader.
      exposeHeadRoute: false,
      schema: {
        summary:
          'Events from now on, one JSON object per line, until the client closes the connection',
        response: {
          200: { content: { 'application/x-ndjson': { schema: ref('Event') } } },
          ...ERRORS,
        },
      },
    },
    (_request, reply) => reply.type('application/x-ndjson').send(eventStream(controller)),
  )
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
}
