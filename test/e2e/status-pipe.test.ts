import t from 'tap'
import { ownProcess } from '../lib/target.js'
import { statusPipeSuite } from './suites/status-pipe.js'

statusPipeSuite(t, ownProcess)
