import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { readSocketTable, STATE } from '../../../src/linux/proc/socket-table.js'
import { bindUdp } from '../../lib/datagrams.js'
import { dial, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

t.test('listening and connected sockets of both families', async (t) => {
  for (const ip of ['127.0.0.1', '::1']) {
    const { port } = await startEcho(t, ip)
    const client = await dial(t, port, ip)
    const rows = readSocketTable('tcp')
    t.match(
      // Another address may have the same port.
      rows.find(
        ({ local, state }) => local.ip === ip && local.port === port && state === STATE.listen,
      ),
      { remote: { port: 0 }, uid: process.getuid?.(), inode: Number },
    )
    t.match(
      rows.find(({ local, remote }) => local.port === client.localPort && remote.port === port),
      { local: { ip }, remote: { ip }, state: STATE.established },
    )
  }
})

t.test('sockets in TIME_WAIT are left out', async (t) => {
  const { port } = await startEcho(t)
  const client = await dial(t, port)
  const own = client.localPort ?? 0
  const closed = once(client.resume(), 'close')
  client.end()
  await closed
  const hex = (number: number) => number.toString(16).toUpperCase().padStart(4, '0')
  const waits = new RegExp(`:${hex(own)} \\S+:${hex(port)} 06 `)
  await until(() => waits.test(readFileSync('/proc/net/tcp', 'utf8')))
  // A connection of another program may have the same local port.
  t.notOk(
    readSocketTable('tcp').some(({ local, remote }) => local.port === own && remote.port === port),
  )
})

t.test('UDP, and SCTP, of which there is no such table', async (t) => {
  const { port } = await bindUdp(t, '::1')
  t.match(
    readSocketTable('udp').find(({ local }) => local.ip === '::1' && local.port === port),
    { state: STATE.close },
  )
  t.same(readSocketTable('sctp'), [])
})
