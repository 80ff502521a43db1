import { constants } from 'node:os'
import t from 'tap'
import { MSG, OPTION } from '../../../src/linux/ffi/constants.js'
import { RelayLimits } from '../../../src/proxy/relay-limits.js'
import { requireFfi } from '../../../src/linux/ffi/ffi.js'
import { NodePoller } from '../../../src/linux/sockets/node-poller.js'
import { Direction, type Side } from '../../../src/proxy/native/direction.js'
import { closeReactor, openReactor } from '../../../src/proxy/native/reactor.js'
import { rawCalls } from '../../lib/raw-sockets.js'
import { listeningDescriptor } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

const { ECONNRESET } = constants.errno
/** Bytes: enough to count as bulk data, and small enough for any socket buffer. */
const BULK = 160 * 1024

t.test('a reset that splice reports is a reset for the relay', async (t) => {
  const sound = openReactor(() => new NodePoller())
  const raw = rawCalls()
  const { fd: listening, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
  sound.syscalls.setOption(listening, OPTION.SO_RCVBUF, 2 * BULK)
  const sender = raw.connect(port)
  const from = sideOf(await raw.accept(listening))
  const receiver = raw.connect(port)
  const to = sideOf(await raw.accept(listening))
  t.teardown(() => {
    for (const fd of [listening, from.fd, to.fd, receiver]) raw.close(fd)
    closeReactor(sound)
  })

  let answer = 0
  let direction: Direction | undefined = undefined
  const reactor = {
    ...sound,
    syscalls: {
      ...sound.syscalls,
      splice(source: number, target: number, length: number, flags: number) {
        const count = sound.syscalls.splice(source, target, length, flags)
        if (source !== from.fd) return count
        answer = count
        // The sender closes between the last bytes and the next read.
        if (count > 0 && (direction?.bytes ?? 0) + count === BULK) raw.reset(sender)
        return count
      },
    },
  }
  direction = new Direction(reactor, from, to, new RelayLimits(() => undefined).in)
  const data = Buffer.alloc(BULK, 'x')
  const address = requireFfi().addressOf(data)
  let sent = 0
  await until(() => {
    sent += Math.max(0, sound.syscalls.send(sender, address, BULK - sent, MSG.NOSIGNAL))
    return sound.syscalls.peek(from.fd, address, BULK) === BULK
  })
  direction.pump()
  t.equal(answer, -ECONNRESET, 'the splice is told')
  t.equal(direction.bytes, BULK)
  t.equal(direction.state, 'over')
  t.equal(from.isBroken, true)
})

function sideOf(fd: number): Side {
  return {
    fd,
    hasMessages: false,
    readable: true,
    writable: true,
    readUntilEmpty: false,
    endIsQueued: false,
    isBroken: false,
    onReady: () => undefined,
    onError: () => undefined,
  }
}
