import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { listenFdSuite } from './suites/listen-fd.js'

listenFdSuite(t, ownProcess)
