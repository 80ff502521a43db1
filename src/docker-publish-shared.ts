import { closeSync, readFileSync, writeSync } from 'node:fs'
import { stopSignal } from './cli/stop-signal.js'
import { deferred } from './deferred.js'
import { keepYoungGenerationSmall } from './heap.js'
import { StderrLog } from './log/log.js'
import { openEngine } from './proxy/choose-engine.js'
import { DescriptorBudget } from './proxy/descriptor-budget.js'
import { brokenListenerText } from './proxy/listen-error.js'
import type { PublishedPort } from './proxy/published-port.js'
import { readSettings } from './proxy/settings.js'
import { statusOf } from './proxyd/port-status.js'
import { serveStatus } from './proxyd/status-socket.js'
import { tidyUpSoon } from './tidy-up.js'

/*
 * All ports of a publication in one process, for docker-publish: it is given them on stdin, their sockets from descriptor
 * 10 on, and tells as a docker-proxy does on descriptor 3 whether it serves them.
 */

const STATUS_FD = 3
const FIRST_LISTEN_FD = 10

/** What it is told. */
interface Task {
  /** Where it is to tell of the ports. */
  readonly socket: string
  readonly ports: readonly PublishedPort[]
}

async function main(): Promise<void> {
  keepYoungGenerationSmall()
  const stop = deferred()
  void stopSignal().then(() => stop.resolve())
  const { socket, ports } = JSON.parse(readFileSync(0, 'utf8')) as Task
  const settings = readSettings(process.env)
  const log = StderrLog.open('docker-publish-shared', settings.logLevel)
  const engine = openEngine(settings, log)
  const descriptors = DescriptorBudget.ofProcess(settings.workers)
  const since = Date.now()
  const published = await Promise.all(
    ports.map(async (port, i) => {
      const proxy = await engine.listen(
        { ...port, listenFd: FIRST_LISTEN_FD + i },
        { log, descriptors },
      )
      // The daemon has all sockets, and starts another that listens on them.
      proxy.closed.catch((err: unknown) => {
        log.error(brokenListenerText(port, proxy.address, err))
        process.exitCode = 1
        stop.resolve()
      })
      return { port, proxy }
    }),
  )
  try {
    await serveStatus(socket, descriptors, {
      ports: () => published.map(({ port, proxy }) => statusOf(process.pid, port, proxy, since)),
    })
  } catch (err) {
    log.warn(`Can't tell of connections and bytes: ${String(err)}`)
  }
  writeSync(STATUS_FD, '0\n')
  closeSync(STATUS_FD)
  tidyUpSoon()
  await stop.promise
  for (const { proxy } of published) proxy.close()
  await log.flush()
  process.exit()
}

main().catch((err: unknown) => {
  const reason = err instanceof Error ? err.message : String(err)
  console.error(reason)
  try {
    writeSync(STATUS_FD, `1\n${reason}`)
  } catch {
    // It has been told already that all is ready.
  }
  process.exit(1)
})
