import { missingBackend } from '../backends.js'
import { openBridge } from '../bridge.js'
import { native, original, streams } from '../peers/docker-proxy.js'
import { haproxy } from '../peers/haproxy.js'
import type { Start } from '../scenario.js'
import { runLoad } from './messages.js'

const SECONDS = 60
const QUICK_SECONDS = 3
const AT_ONCE = 64

/** Whether new connections go on when a proxy has used each local port once. */
const sustained: Start = {
  kind: 'start',
  name: 'sustained',
  title: 'new connections to a container over a network, the client ends first',
  load: `${AT_ONCE} at once for ${SECONDS} s, from another network namespace: the rates of the first and the last 10 s`,
  figures: [
    { key: 'last', title: 'last 10 s', unit: '/s', better: 'more' },
    { key: 'first', title: 'first 10 s', unit: '/s', better: 'more' },
  ],
  isLong: true,
  seconds: (_load, isQuick) => (isQuick ? QUICK_SECONDS : SECONDS) + 2,
  missing: () =>
    process.getuid?.() === 0
      ? missingBackend('http')
      : 'it makes network namespaces: run it as root',
  suits: (peer) => [original, native, streams, haproxy].includes(peer),
  async measure({ peer, isQuick }) {
    const bridge = await openBridge()
    try {
      const { first = NaN, last = NaN } = await bridge.publish(peer, ({ ip, port }) =>
        runLoad(
          bridge.client,
          'client-first',
          ip,
          port,
          isQuick ? QUICK_SECONDS : SECONDS,
          AT_ONCE,
        ),
      )
      return { first, last }
    } finally {
      await bridge.close()
    }
  },
}

export const SUSTAINED: readonly Start[] = [sustained]
