import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { processSuite } from './suites/process.js'

processSuite(t, ownProcess)
