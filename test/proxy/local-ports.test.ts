import t from 'tap'
import {
  ephemeralPorts,
  hasTcpTimestamps,
  reservedPorts,
} from '../../src/linux/proc/ephemeral-ports.js'
import { isOutOfPorts, LocalPorts } from '../../src/proxy/local-ports.js'

const skip = hasTcpTimestamps() ? false : 'this host has no TCP timestamps'

t.test('every other port of the range, none twice, and not the backend’s', { skip }, async (t) => {
  const { first, last } = ephemeralPorts()
  const isReserved = reservedPorts()
  const backendPort = first + 1
  const ports = new LocalPorts(backendPort)
  const expected = Array.from({ length: last - first + 1 }, (_, i) => first + i).filter(
    (port) => (port - first) % 2 === 1 && port !== backendPort && !isReserved(port),
  )
  const chosen = expected.map(() => ports.next())
  t.strictSame(
    chosen.toSorted((a = 0, b = 0) => a - b),
    expected,
  )
  t.equal(ports.next(), chosen[0], 'and then again from the beginning')
})

t.test('a host without an address to dial from is not out of ports', async (t) => {
  const err = Object.assign(new Error(), { code: 'EADDRNOTAVAIL' })
  t.ok(isOutOfPorts(err, '127.0.0.1'))
  t.notOk(isOutOfPorts(Object.assign(new Error(), { code: 'ECONNREFUSED' }), '127.0.0.1'))
})
