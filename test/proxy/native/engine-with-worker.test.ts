import t from 'tap'
import { startWorkers } from '../../lib/workers.js'
import { tcpSuite } from '../tcp-suite.js'

// All that a proxy does it does with a worker as well.
const { engine, add } = startWorkers(t, 2)
await add()
tcpSuite(engine)
