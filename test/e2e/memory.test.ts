import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { memorySuite } from './suites/memory.js'

memorySuite(t, ownProcess)
