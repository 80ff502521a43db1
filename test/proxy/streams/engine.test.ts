import { streamsEngine } from '../../../src/proxy/streams/engine.js'
import { engineSuite } from '../engine-suite.js'

engineSuite(streamsEngine)
