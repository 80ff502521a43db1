import { Type } from 'typebox'

/** The JSON schema of Protocol. */
export const ProtocolSchema = Type.Union([
  Type.Literal('tcp'),
  Type.Literal('udp'),
  Type.Literal('sctp'),
])
