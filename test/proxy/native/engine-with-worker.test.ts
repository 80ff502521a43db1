import t from 'tap'
import { startWorkers } from '../../lib/workers.js'
import { acceptProxySuite } from '../accept-proxy-suite.js'
import { limitsSuite } from '../limits-suite.js'
import { portOptionsSuite } from '../port-options-suite.js'
import { tcpSuite } from '../tcp-suite.js'

// A proxy with a worker passes the same suites.
const { engine, add } = startWorkers(t, 2)
await add()
tcpSuite(engine)
portOptionsSuite(engine)
limitsSuite(engine)
acceptProxySuite(engine)
