import type { Scenario } from '../scenario.js'
import { API } from './api.js'
import { BULK } from './bulk.js'
import { CLI } from './cli.js'
import { DOCKERD } from './dockerd.js'
import { EIGHT } from './eight.js'
import { HTTP } from './http.js'
import { MESSAGES } from './messages.js'
import { NEIGHBOURS } from './neighbours.js'
import { OVERLOAD } from './overload.js'
import { PORTS } from './ports.js'
import { STARTS } from './start.js'
import { RESTART } from './restart.js'
import { SUSTAINED } from './sustained.js'
import { WORKERS_OF_A_PORT } from './workers.js'

export const SCENARIOS: readonly Scenario[] = [
  ...HTTP,
  ...EIGHT,
  ...WORKERS_OF_A_PORT,
  ...BULK,
  ...MESSAGES,
  ...STARTS,
  ...PORTS,
  ...API,
  ...CLI,
  ...OVERLOAD,
  ...NEIGHBOURS,
  ...SUSTAINED,
  ...DOCKERD,
  ...RESTART,
]
