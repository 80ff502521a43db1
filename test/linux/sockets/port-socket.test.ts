import { once } from 'node:events'
import { closeSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { isPortFree, openPortSocket } from '../../../src/linux/sockets/port-socket.js'
import { freeRow } from '../../lib/free-row.js'
import { dial } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

t.test('a bound port listens before anybody accepts', async (t) => {
  const port = freeRow(1)
  const fd = openPortSocket({ protocol: 'tcp', ip: '127.0.0.1', port })
  await dial(t, port)
  t.equal(isPortFree({ protocol: 'tcp', ip: '127.0.0.1', port }), false)
  t.equal(isPortFree({ protocol: 'tcp', ip: '127.0.0.2', port }), true)
  t.equal(isPortFree({ protocol: 'udp', ip: '127.0.0.1', port }), true)
  t.throws(() => openPortSocket({ protocol: 'tcp', ip: '0.0.0.0', port }), {
    code: 'EADDRINUSE',
    syscall: 'bind',
  })
  closeSync(fd)
})

t.test('an IPv6 socket leaves IPv4 its port', async (t) => {
  const port = freeRow(1)
  const v6 = openPortSocket({ protocol: 'tcp', ip: '::', port })
  const v4 = openPortSocket({ protocol: 'tcp', ip: '0.0.0.0', port })
  await dial(t, port)
  await dial(t, port, '::1')
  closeSync(v4)
  closeSync(v6)
})

t.test('a port is free beside connections in TIME_WAIT and beside IPv4', async (t) => {
  const port = freeRow(1)
  const fd = openPortSocket({ protocol: 'tcp', ip: '127.0.0.1', port })
  t.equal(isPortFree({ protocol: 'tcp', ip: '::', port }), true, 'for IPv6, IPv4 does not count')
  const server = createServer((socket) => socket.end()).listen({ fd })
  const client = connect(port, '127.0.0.1').resume()
  // The server ends first, so its side of the connection waits.
  await once(client, 'close')
  await new Promise((resolve) => server.close(resolve))
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const waits = new RegExp(`0100007F:${hex} \\S+ 06 `)
  await until(() => waits.test(readFileSync('/proc/net/tcp', 'utf8')))
  t.equal(isPortFree({ protocol: 'tcp', ip: '127.0.0.1', port }), true)
})

t.test('two UDP sockets never share a port', async (t) => {
  const port = freeRow(1)
  const fd = openPortSocket({ protocol: 'udp', ip: '127.0.0.1', port })
  t.equal(isPortFree({ protocol: 'udp', ip: '127.0.0.1', port }), false)
  t.throws(() => openPortSocket({ protocol: 'udp', ip: '127.0.0.1', port }), { code: 'EADDRINUSE' })
  closeSync(fd)
})

t.test('an address that the host does not have', async (t) => {
  t.throws(() => openPortSocket({ protocol: 'tcp', ip: '192.0.2.77', port: 80 }), {
    code: 'EADDRNOTAVAIL',
  })
  t.throws(() => isPortFree({ protocol: 'tcp', ip: '2001:db8::1', port: 80 }), {
    code: 'EADDRNOTAVAIL',
  })
})
