import { missingBackend } from '../backends.js'
import { stopChild, whileRunning } from '../child.js'
import { native, original, streams } from '../peers/docker-proxy.js'
import { haproxy } from '../peers/haproxy.js'
import { freePorts } from '../ports.js'
import type { Start } from '../scenario.js'
import { runLoad } from './messages.js'

const SECONDS = 60
const QUICK_SECONDS = 3
const AT_ONCE = 64

/**
 * Whether new connections go on when a proxy has used each local port once.
 * @param endsFirst the side that ends first. Its port stays in TIME_WAIT for a minute
 */
const sustained = (endsFirst: 'client' | 'server'): Start => ({
  kind: 'start',
  name: `sustained-${endsFirst}`,
  group: 'sustained',
  title: `new connections, the ${endsFirst} ends first`,
  load: `${AT_ONCE} at once for ${SECONDS} s: the rates of the first and the last 10 s`,
  figures: [
    { key: 'last', title: 'last 10 s', unit: '/s', better: 'more' },
    { key: 'first', title: 'first 10 s', unit: '/s', better: 'more' },
  ],
  isLong: true,
  seconds: (_load, isQuick) => (isQuick ? QUICK_SECONDS : SECONDS) + 2,
  missing: () => missingBackend('http'),
  suits: (peer) => [original, native, streams, haproxy].includes(peer),
  async measure(bed) {
    const { site, backends, isQuick } = bed
    const [port = 0] = await freePorts(1)
    const backendPort = await backends.port('http')
    const child = bed.peer.start({ protocol: 'tcp', port, backendPort }, site)
    const children = child ? [child] : []
    try {
      return await whileRunning(children, async () => {
        await backends.check('http', port, child)
        const seconds = isQuick ? QUICK_SECONDS : SECONDS
        const load = [endsFirst, port, seconds, AT_ONCE] as const
        const { first = NaN, last = NaN } = await runLoad(site, 'sustained', ...load)
        return { first, last }
      })
    } finally {
      await Promise.all(children.map(stopChild))
    }
  },
})

export const SUSTAINED: readonly Start[] = [sustained('client'), sustained('server')]
