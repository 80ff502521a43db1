import t from 'tap'
import { viewWaiting } from '../../src/controller/waiting-view.js'
import { parseContainer } from '../../src/docker/container.js'
import { allAddresses } from '../../src/ports/allocator.js'
import { inspectReply } from '../lib/fake-engine.js'

t.test('a waiting container shows all addresses that it asks for', async (t) => {
  const waiting = {
    request: { ports: ['8300:80', '127.0.0.2:8301:80'], backend: '' },
    container: parseContainer(inspectReply('c1', 'web')),
    since: new Date(0).toISOString(),
    reason: 'taken',
  }
  const addressesOf = async (defaultIp?: string) =>
    (await viewWaiting(waiting, defaultIp)).ports.map(({ hostIp, hostPort }) => ({
      hostIp,
      hostPort,
    }))
  t.same(await addressesOf(), [
    ...allAddresses().map((hostIp) => ({ hostIp, hostPort: 8300 })),
    { hostIp: '127.0.0.2', hostPort: 8301 },
  ])
  t.same(await addressesOf('127.0.0.1'), [
    { hostIp: '127.0.0.1', hostPort: 8300 },
    { hostIp: '127.0.0.2', hostPort: 8301 },
  ])
})
