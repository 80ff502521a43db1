import { openNativeEngine } from '../../../src/proxy/native/engine.js'
import { MemoryLog } from '../../lib/memory-log.js'
import { acceptProxySuite, sendProxyUdpSuite } from '../accept-proxy-suite.js'
import { limitsSuite } from '../limits-suite.js'
import { portOptionsSuite } from '../port-options-suite.js'
import { tcpSuite } from '../tcp-suite.js'
import { udpSuite } from '../udp-suite.js'

const engine = openNativeEngine(new MemoryLog())
tcpSuite(engine)
udpSuite(engine)
portOptionsSuite(engine)
limitsSuite(engine)
acceptProxySuite(engine)
sendProxyUdpSuite(engine)
