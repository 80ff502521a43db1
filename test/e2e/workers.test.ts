import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { workersSuite } from './suites/workers.js'

workersSuite(t, ownProcess)
