import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import t from 'tap'
import { requireSyscalls } from '../../../src/linux/ffi/syscalls.js'
import { OPTION } from '../../../src/linux/ffi/constants.js'
import { MessageBatch } from '../../../src/linux/sockets/message-batch.js'
import { openPortSocket } from '../../../src/linux/sockets/port-socket.js'
import { localAddress } from '../../../src/linux/sockets/endpoints.js'
import { bindUdp, receive } from '../../lib/datagrams.js'
import { until } from '../../lib/until.js'

t.test('many at a time, in runs of one sender, answered to whom they came from', async (t) => {
  const fd = openPortSocket({ protocol: 'udp', ip: '127.0.0.1', port: 0 })
  t.teardown(() => closeSync(fd))
  const port = localAddress(fd)?.port ?? 0
  const [a, b] = [await bindUdp(t), await bindUdp(t)]
  const send = (from: typeof a, text: string): Promise<void> =>
    new Promise((resolve) => from.socket.send(text, port, '127.0.0.1', () => resolve()))
  await send(a, 'one')
  await send(a, 'two')
  await send(b, 'three')
  const batch = new MessageBatch()
  t.equal(batch.receive(fd), 3)
  t.equal(batch.runLength(0, 3), 2)
  t.equal(batch.runLength(2, 3), 1)
  t.equal(batch.key(0), batch.key(1))
  t.not(batch.key(0), batch.key(2))
  const answered = receive(b.socket)
  batch.reply(fd, 0, 1, batch.envelope(2))
  t.equal((await answered).data.toString(), 'one')
  t.equal(batch.receive(fd), -constants.errno.EAGAIN)
})

t.test('the local address of a datagram is reported, and the reply leaves from it', async (t) => {
  for (const [wildcard, addresses] of [
    ['0.0.0.0', ['127.0.0.1', '127.0.0.2']],
    ['::', ['::1']],
  ] as const) {
    const fd = openPortSocket({ protocol: 'udp', ip: wildcard, port: 0 })
    t.teardown(() => closeSync(fd))
    requireSyscalls().setOption(
      fd,
      wildcard === '::' ? OPTION.IPV6_RECVPKTINFO : OPTION.IP_PKTINFO,
      1,
    )
    const port = localAddress(fd)?.port ?? 0
    const client = await bindUdp(t, wildcard === '::' ? '::1' : '127.0.0.1')
    const batch = new MessageBatch()
    const keys = new Set<string>()
    for (const address of addresses) {
      const answer = receive(client.socket)
      client.socket.send('to you', port, address)
      let count = 0
      await until(() => (count = batch.receive(fd)) > 0)
      keys.add(batch.key(0))
      batch.reply(fd, 0, count, batch.envelope(0))
      t.equal((await answer).from.address, address)
    }
    t.equal(keys.size, addresses.length, 'each way has a key of its own')
  }
})
