import type { FastifyReply } from 'fastify'
import { jsonStream } from './json-stream.js'

/** Sends a view. A list of ports may be long, so Fastify does not serialise it in one turn. */
export function sendJson(reply: FastifyReply, view: object): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(jsonStream(view))
}
