import type { Scenario } from '../scenario.js'
import { BULK } from './bulk.js'
import { DOCKERD } from './dockerd.js'
import { EIGHT } from './eight.js'
import { HTTP } from './http.js'
import { MESSAGES } from './messages.js'
import { PORTS } from './ports.js'
import { STARTS } from './start.js'

export const SCENARIOS: readonly Scenario[] = [
  ...HTTP,
  ...EIGHT,
  ...BULK,
  ...MESSAGES,
  ...STARTS,
  ...PORTS,
  ...DOCKERD,
]
