import type { Peer } from '../peer.js'
import { installedOriginal, native, original, streams } from './docker-proxy.js'
import { proxyd } from './docker-proxyd.js'
import { haproxy, installedHaproxy } from './haproxy.js'
import { direct, dnat } from './kernel.js'
import { nat } from './nat.js'
import { nginx } from './nginx.js'
import { socat } from './socat.js'

/** In the order of the tables. */
export const PEERS: readonly Peer[] = [
  direct,
  original,
  ...(process.env['ORIGINAL'] ? [installedOriginal] : []),
  native,
  streams,
  proxyd,
  haproxy,
  ...(process.env['HAPROXY'] ? [installedHaproxy] : []),
  nginx,
  socat,
  dnat,
  nat,
]
