import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { streamsEngine } from '../../../src/proxy/streams/engine.js'
import { listen } from '../../lib/listen.js'
import { rawCalls } from '../../lib/raw-sockets.js'
import { dial, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

/** Relays whose sockets fill a turn of libuv. */
const MANY = 512
/** Clients that come at the same moment. */
const NEW_CLIENTS = 32
/** Turns of the event loop in which they are accepted: libuv accepts one in each. */
const TURNS = 4

t.test('beside many relays, a turn serves all new clients, and ends', async (t) => {
  const { proxy, port } = await listen(t, streamsEngine, await startEcho(t))
  const raw = rawCalls()
  const connectMany = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const fd = raw.connect(port)
      t.teardown(() => raw.close(fd))
    }
  }
  const acceptedAfter = async (turns: number): Promise<number> => {
    const before = proxy.counters.accepted
    connectMany(NEW_CLIENTS)
    for (let i = 0; i < turns; i++) await setImmediate()
    return proxy.counters.accepted - before
  }
  const client = await dial(t, port)
  connectMany(MANY)
  await until(() => proxy.counters.active > MANY)

  t.equal(await acceptedAfter(TURNS), NEW_CLIENTS)

  const signal = once(process, 'SIGURG')
  client.write('x')
  await once(client, 'data')
  await signal
  t.pass('the event loop goes on')

  proxy.stop()
  await until(() => proxy.counters.active === 0)
  t.equal(process.listenerCount('SIGURG'), 0)
})
