import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { flagsSuite } from './suites/flags.js'

flagsSuite(t, ownProcess)
