import t from 'tap'
import { ephemeralPorts, reservedPorts } from '../../../src/linux/proc/ephemeral-ports.js'

t.test('the range of ephemeral ports', async (t) => {
  const { first, last } = ephemeralPorts()
  t.ok(first >= 1 && first < last && last <= 65_535)
  const isReserved = reservedPorts()
  t.type(isReserved(first), 'boolean')
})
