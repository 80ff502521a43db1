import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { listDockerPorts } from '../controller/docker-ports.js'
import type { Controller } from '../controller/controller.js'
import type { PublicationRequest } from '../controller/publication-request.js'
import { RequestError } from '../controller/request-error.js'
import type { Log } from '../log/log.js'
import { PortSpecError } from '../ports/port-spec.js'
import { Refusal } from '../ports/refusal.js'
import { COMMIT, VERSION } from '../version.js'
import { API_VERSION } from './api-version.js'
import { eventStream } from './event-stream.js'
import {
  CheckRequestSchema,
  ClaimSchema,
  DockerPortSchema,
  ErrorSchema,
  EventSchema,
  HolderSchema,
  PortViewSchema,
  PublicationRequestSchema,
  PublicationViewSchema,
  SuggestionsSchema,
  VersionSchema,
  type CheckRequest,
  type ErrorView,
} from './schemas.js'

/** HTTP status of each refusal; 409, conflict, for all others. */
const STATUS: Partial<Record<Refusal['code'], number>> = {
  'no-such-publication': 404,
  'bind-failed': 500,
  'proxy-failed': 500,
  'state-not-saved': 507,
  'no-answer': 503,
}
const BAD_REQUEST = 400
/** Characters of a path parameter; longer than any name, escapes included. */
const MAX_PARAM_LENGTH = 512
const INTERNAL_ERROR = 500

const ref = (name: string) => ({ $ref: `${name}#` })
/** The error replies of every request. */
const ERRORS = { '4xx': ref('Error'), '5xx': ref('Error') }

/**
 * Makes the API of a controller and its OpenAPI document. The caller opens the sockets.
 * @param proxydDir run folder of a docker-proxyd that may serve dockerd's ports
 */
export async function createApi(
  controller: Controller,
  log: Log,
  proxydDir?: string,
): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    // Requests that the router can't parse, for example a URL with an incomplete escape.
    frameworkErrors: (err, _request, reply: FastifyReply) =>
      void reply.code(BAD_REQUEST).send(errorReply(err).body),
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  })
  app.setErrorHandler((err, request, reply) => {
    const { status, body } = errorReply(err)
    if (status >= INTERNAL_ERROR) log.error(`${request.method} ${request.url}: ${body.message}`)
    return reply.code(status).send(body)
  })
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({
      code: 'no-such-route',
      message: `there is no ${request.method} ${request.url}: see /${API_VERSION}/openapi.json`,
    } satisfies ErrorView),
  )
  for (const schema of [
    PortViewSchema,
    PublicationViewSchema,
    PublicationRequestSchema,
    CheckRequestSchema,
    ClaimSchema,
    DockerPortSchema,
    HolderSchema,
    SuggestionsSchema,
    ErrorSchema,
    VersionSchema,
    EventSchema,
  ]) {
    app.addSchema(schema)
  }
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'docker-publish',
        description: 'Publishes ports of containers, and tells who holds a port.',
        version: VERSION,
      },
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => nameOf(json['$id'], i) },
  })
  await app.register(
    (routes, _options, done) => {
      addRoutes(routes, controller, proxydDir)
      done()
    },
    { prefix: `/${API_VERSION}` },
  )
  await app.ready()
  return app
}

function addRoutes(
  app: FastifyInstance,
  controller: Controller,
  proxydDir: string | undefined,
): void {
  const name = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] }

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
    '/publications',
    {
      schema: {
        summary: 'All publications',
        response: { 200: { type: 'array', items: ref('Publication') }, ...ERRORS },
      },
    },
    () => controller.list(),
  )
  app.post<{ Body: PublicationRequest }>(
    '/publications',
    {
      schema: {
        summary: 'Publish ports of a container: all of them, or none',
        body: ref('PublicationRequest'),
        response: { 201: ref('Publication'), ...ERRORS },
      },
    },
    async (request, reply) => reply.code(201).send(await controller.add(request.body)),
  )
  app.get<{ Params: { name: string } }>(
    '/publications/:name',
    {
      schema: {
        summary: 'One publication',
        params: name,
        response: { 200: ref('Publication'), ...ERRORS },
      },
    },
    (request) => controller.get(request.params.name),
  )
  app.delete<{ Params: { name: string } }>(
    '/publications/:name',
    {
      schema: {
        summary: 'Withdraw a publication; its ports are free when the reply comes',
        params: name,
        response: { 204: { type: 'null' }, ...ERRORS },
      },
    },
    async (request, reply) => {
      await controller.remove(request.params.name)
      return reply.code(204).send()
    },
  )
  app.get(
    '/docker-ports',
    {
      schema: {
        summary: 'Ports that dockerd has published through docker-proxyd',
        response: { 200: { type: 'array', items: ref('DockerPort') }, ...ERRORS },
      },
    },
    () => listDockerPorts(proxydDir),
  )
  app.post<{ Body: CheckRequest }>(
    '/check',
    {
      schema: {
        summary: 'The ports that a publication would bind; nothing is bound',
        body: ref('CheckRequest'),
        response: { 200: { type: 'array', items: ref('Claim') }, ...ERRORS },
      },
    },
    (request) => controller.check(request.body.ports),
  )
  app.get(
    '/events',
    {
      schema: {
        summary:
          'Events from now on, one JSON object per line, until the client closes the connection',
        produces: ['application/x-ndjson'],
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

function errorReply(err: unknown): { status: number; body: ErrorView } {
  const { message } = err as Error
  if (err instanceof Refusal) {
    return {
      status: STATUS[err.code] ?? 409,
      body: { code: err.code, message, ...err.details },
    }
  }
  if (err instanceof PortSpecError || err instanceof RequestError) {
    return { status: BAD_REQUEST, body: { code: 'bad-request', message } }
  }
  const { statusCode = INTERNAL_ERROR } = err as { statusCode?: number }
  const code = statusCode < INTERNAL_ERROR ? 'bad-request' : 'internal'
  return { status: statusCode, body: { code, message } }
}

function nameOf(id: unknown, i: number): string {
  return typeof id === 'string' ? id : `def-${i}`
}
