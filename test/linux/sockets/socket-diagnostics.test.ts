import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { STATE } from '../../../src/linux/proc/socket-table.js'
import { readSockets } from '../../../src/linux/sockets/socket-diagnostics.js'
import { bindUdp } from '../../lib/datagrams.js'
import { freeRow } from '../../lib/free-row.js'
import { dial } from '../../lib/sockets.js'

t.test('the sockets of one port: listeners and both ends of connections', async (t) => {
  const port = freeRow(1)
  const server = createServer().listen(port, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const client = await dial(t, port)
  await accepted
  // Connections of other tests may have the client's port as well.
  const open = (at: number) =>
    readSockets('tcp', { port: at }).filter(({ state }) => state !== STATE.timeWait)
  const rows = open(port)
  t.strictSame(
    rows.map(({ state }) => state).sort((a, b) => a - b),
    [STATE.established, STATE.listen],
  )
  t.match(
    rows.find(({ state }) => state === STATE.established),
    {
      local: { ip: '127.0.0.1', port },
      remote: { ip: '127.0.0.1', port: client.localPort },
      uid: process.getuid?.(),
    },
  )
  t.match(readSockets('tcp', { port, isUnconnected: true }), [{ state: STATE.listen }])
  const atClient = open(client.localPort ?? 0).filter(({ remote }) => remote.port === port)
  t.match(atClient, [{ remote: { ip: '127.0.0.1', port } }])
  t.ok(readSockets('tcp').some(({ local }) => local.port === port))
})

t.test('UDP and IPv6, and whether a wildcard leaves IPv4 alone', async (t) => {
  const udp = await bindUdp(t, '::1')
  // A program that is not ours may have the port on another address.
  const own = readSockets('udp', { port: udp.port }).filter(({ local }) => local.ip === '::1')
  t.match(own, [{ local: { ip: '::1' }, state: STATE.close }])
  t.equal(own.length, 1)
  const dual = createServer().listen(0, '::')
  const single = createServer().listen({ port: 0, host: '::', ipv6Only: true })
  for (const [server, isIpv6Only] of [
    [dual, false],
    [single, true],
  ] as const) {
    t.teardown(() => server.close())
    if (!server.listening) await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    t.match(readSockets('tcp', { port, isUnconnected: true }), [{ isIpv6Only }])
  }
  t.strictSame(readSockets('sctp'), [])
})
