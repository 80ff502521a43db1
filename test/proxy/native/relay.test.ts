import t from 'tap'
import { DescriptorBudget } from '../../../src/proxy/descriptor-budget.js'
import { openNativeEngine } from '../../../src/proxy/native/engine.js'
import { MemoryLog } from '../../lib/memory-log.js'
import { rawCalls } from '../../lib/raw-calls.js'
import { dial, listeningDescriptor } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

t.test('a backend that resets at once is heard, and is none that can not be reached', async (t) => {
  // Through descriptors alone, all of it happens before the proxy has seen its connection made.
  const { fd, port: backendPort } = await listeningDescriptor(t, { host: '127.0.0.1' })
  const log = new MemoryLog()
  const proxy = await openNativeEngine().listen(
    {
      protocol: 'tcp',
      hostIp: '127.0.0.1',
      hostPort: 0,
      containerIp: '127.0.0.1',
      containerPort: backendPort,
    },
    { log, descriptors: new DescriptorBudget() },
  )
  t.teardown(() => proxy.close())
  const { port } = proxy.address
  const raw = rawCalls()
  const client = await dial(t, port)
  let server = -1
  await until(() => (server = raw.accept(fd)) >= 0)
  raw.send(server, 'go away')
  raw.reset(server)
  let received = ''
  client.on('data', (chunk: Buffer) => (received += chunk.toString()))
  // Node may take a reset right behind data for an end.
  await new Promise((resolve) => client.once('end', resolve).once('close', resolve))
  t.equal(received, 'go away')
  client.destroy()
  await until(() => proxy.counters.active === 0)
  t.same(log.lines, [])
  t.equal(proxy.counters.failedDials, 0)
  raw.close(fd)
})
