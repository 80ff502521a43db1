import { openNativeEngine } from '../../../src/proxy/native/engine.js'
import { tcpSuite } from '../tcp-suite.js'
import { udpSuite } from '../udp-suite.js'

const engine = openNativeEngine()
tcpSuite(engine)
udpSuite(engine)
