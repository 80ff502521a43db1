import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { logSuite } from './suites/log.js'

logSuite(t, ownProcess)
