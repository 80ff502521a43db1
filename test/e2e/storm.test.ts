import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { stormSuite } from './suites/storm.js'

stormSuite(t, ownProcess)
