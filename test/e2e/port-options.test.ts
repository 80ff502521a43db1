import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { portOptionsSuite } from './suites/port-options.js'

portOptionsSuite(t, ownProcess)
