import t from 'tap'
import { BlockingPoller } from '../../../src/linux/sockets/blocking-poller.js'

t.test(
  'delayed functions run in the order of their times, and the thread sleeps until then',
  async (t) => {
    const poller = new BlockingPoller()
    t.teardown(() => poller.closeSet())
    const called: string[] = []
    const start = performance.now()
    poller.delay(30, () => {
      called.push('second')
      poller.delay(1, () => {
        called.push('last')
        poller.stop()
      })
    })
    poller.delay(10, () => called.push('first'))
    poller.run()
    t.strictSame(called, ['first', 'second', 'last'])
    t.ok(performance.now() - start >= 30, 'not too early')
  },
)
