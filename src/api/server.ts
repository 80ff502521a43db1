import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { Controller } from '../controller/controller.js'
import type { Log } from '../log/log.js'
import { VERSION } from '../version.js'
import { API_VERSION } from './api-version.js'
import { addDockerRoutes, DOCKER_PREFIX, rewriteDockerPath } from './docker/docker-routes.js'
import { BAD_REQUEST, errorReply, logInternalError } from './error-reply.js'
import { addOtherRoutes, addPublicationRoutes } from './routes.js'
import { ALL_SCHEMAS, type ErrorView } from './schemas.js'

/** Characters of a path parameter; longer than any name, escapes included. */
const MAX_PARAM_LENGTH = 512
const NOT_FOUND = 404

const OPENAPI = {
  openapi: '3.1.0',
  info: {
    title: 'docker-publish',
    description: 'Publishes ports of containers, and names the holder of a port.',
    version: VERSION,
  },
}

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
    rewriteUrl: ({ url = '' }) => rewriteDockerPath(url),
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    // Requests that the router can't parse, for example a URL with an incomplete escape.
    frameworkErrors: (err, _request, reply: FastifyReply) =>
      void reply.code(BAD_REQUEST).send(errorReply(err).body),
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  })
  handleErrors(app, log)
  for (const schema of ALL_SCHEMAS) app.addSchema(schema)
  await app.register(swagger, {
    openapi: OPENAPI,
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => nameOf(json['$id'], i) },
  })
  await app.register(
    (routes, _options, done) => {
      addPublicationRoutes(routes, controller)
      addOtherRoutes(routes, controller, proxydDir)
      done()
    },
    { prefix: `/${API_VERSION}` },
  )
  await app.register(
    (routes, _options, done) => {
      addDockerRoutes(routes, controller, log)
      done()
    },
    { prefix: DOCKER_PREFIX },
  )
  await app.ready()
  return app
}

function handleErrors(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((err, request, reply) => {
    const { status, body } = errorReply(err)
    logInternalError(log, request, status, body)
    return reply.code(status).send(body)
  })
  app.setNotFoundHandler((request, reply) =>
    reply.code(NOT_FOUND).send({
      code: 'no-such-route',
      message: `there is no ${request.method} ${request.url}: see /${API_VERSION}/openapi.json`,
    } satisfies ErrorView),
  )
}

function nameOf(id: unknown, i: number): string {
  return typeof id === 'string' ? id : `def-${i}`
}
