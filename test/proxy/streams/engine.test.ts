import { streamsEngine } from '../../../src/proxy/streams/engine.js'
import { acceptProxySuite, sendProxyUdpSuite } from '../accept-proxy-suite.js'
import { limitsSuite } from '../limits-suite.js'
import { portOptionsSuite } from '../port-options-suite.js'
import { tcpSuite } from '../tcp-suite.js'
import { udpSuite } from '../udp-suite.js'

tcpSuite(streamsEngine)
udpSuite(streamsEngine)
portOptionsSuite(streamsEngine)
limitsSuite(streamsEngine)
acceptProxySuite(streamsEngine)
sendProxyUdpSuite(streamsEngine)
