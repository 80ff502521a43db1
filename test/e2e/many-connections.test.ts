import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { manyConnectionsSuite } from './suites/many-connections.js'

manyConnectionsSuite(t, ownProcess)
