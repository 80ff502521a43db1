import type { Peer } from '../peer.js'
import { native, original, streams } from './docker-proxy.js'
import { proxyd } from './docker-proxyd.js'
import { haproxy } from './haproxy.js'
import { direct, dnat } from './kernel.js'
import { nginx } from './nginx.js'
import { socat } from './socat.js'

/** In the order of the tables. */
export const PEERS: readonly Peer[] = [
  direct,
  original,
  native,
  streams,
  proxyd,
  haproxy,
  nginx,
  socat,
  dnat,
]
