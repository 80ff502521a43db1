import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { openDescriptors } from '../lib/proc.js'
import { stop } from '../lib/program.js'
import { withoutFaults } from '../lib/fault-rounds.js'
import { startBackend } from '../lib/sockets.js'
import { ownProcess } from '../lib/target.js'
import { until } from '../lib/until.js'

/* Connections one after the other. Each has its own local port towards the backend, of which there are some 28,000. */

/** `npm run test:faults` makes it half a million. */
const COUNT = Number(process.env['CONNECTIONS'] ?? 3_000)
const AT_ONCE = 50
/** Descriptors of spare pipes and of the second thread. */
const SPARE = 48

for (const engine of ['native', 'streams'] as const) {
  t.test(
    `${engine}: ${COUNT} connections`,
    { timeout: 3_600_000, skip: withoutFaults },
    async (t) => {
      const greeting = 'a greeting of the backend'
      const backend = await startBackend(t, (socket) => socket.end(greeting))
      const running = await ownProcess.startProxy(t, backend, {
        env: { DOCKER_PROXY_ENGINE: engine },
      })
      const idle = openDescriptors(running.pid)
      const failures: string[] = []
      let left = COUNT
      let bytes = 0
      const client = async (): Promise<void> => {
        while (left-- > 0) {
          const socket = connect(running.port, '127.0.0.1')
          let text = ''
          socket.on('data', (data) => (text += String(data)))
          socket.on('error', (err) => failures.push(err.message))
          await once(socket, 'close').catch(() => undefined)
          bytes += text.length
          if (text !== greeting) failures.push(`got ${JSON.stringify(text)}`)
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, client))
      t.comment(`${COUNT} connections, ${bytes} bytes compared, ${failures.length} losses`)
      t.strictSame(failures.slice(0, 5), [])
      await until(() => openDescriptors(running.pid) <= idle + SPARE)
      t.match(await stop(running), { code: 0 })
      t.match(await running.stderr, new RegExp(`"accepted":${COUNT},`))
    },
  )
}
