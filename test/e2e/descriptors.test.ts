import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { descriptorsSuite } from './suites/descriptors.js'

descriptorsSuite(t, ownProcess)
