import { streamsEngine } from '../../../src/proxy/streams/engine.js'
import { tcpSuite } from '../tcp-suite.js'
import { udpSuite } from '../udp-suite.js'

tcpSuite(streamsEngine)
udpSuite(streamsEngine)
