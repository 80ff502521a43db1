import { closeSync, readFileSync, writeSync } from 'node:fs'
import { deferred } from './deferred.js'
import { EXIT_FAILED } from './exit-codes.js'
import { ignoreHangup, ignoreSignals, stopSignal } from './linux/signals.js'
import { LogTail } from './log/log-tail.js'
import { StderrLog } from './log/stderr-log.js'
import { keepYoungGenerationSmall } from './memory/heap.js'
import { releaseMemorySoon } from './memory/release-memory.js'
import { openEngine } from './proxy/choose-engine.js'
import { DescriptorBudget } from './proxy/descriptor-budget.js'
import {
  SHARED_FIRST_LISTEN_FD,
  STATUS_FAILED,
  STATUS_FD,
  STATUS_READY,
} from './proxy/inherited-descriptors.js'
import { brokenListenerMessage, tooFewDescriptors } from './proxy/listen-error.js'
import { LogObserver } from './proxy/log-observer.js'
import { readLogFormat, readSettings, readUser } from './proxy/settings.js'
import { backendsOf } from './status/backend-list.js'
import { giveUpRights } from './status/own-rights.js'
import { serveOwnStatus, type OwnPort } from './status/own-status.js'
import { SHARED_PROGRAM_NAME, type SharedTask } from './supervisor/shared-task.js'

/*
 * Serves all ports of a publication in one process, for docker-publish: it reads a SharedTask from stdin, inherits the listening sockets,
 * and uses the status pipe like a docker-proxy.
 */

async function main(): Promise<void> {
  ignoreSignals()
  ignoreHangup(() => undefined)
  keepYoungGenerationSmall()
  const stop = deferred()
  void stopSignal().then(() => stop.resolve())
  const { ports, backends } = JSON.parse(readFileSync(0, 'utf8')) as SharedTask
  const settings = readSettings(process.env)
  const tail = new LogTail()
  const log = StderrLog.open(
    SHARED_PROGRAM_NAME,
    settings.logLevel,
    readLogFormat(process.env),
    tail,
  )
  const engine = openEngine(settings, log)
  const descriptors = DescriptorBudget.ofProcess(settings.workers)
  const [first] = ports
  if (first && descriptors.isTooSmall) throw tooFewDescriptors(first)
  const served = await Promise.all(
    ports.map(async (port, i): Promise<OwnPort> => {
      const inherited = { ...port, listenFd: SHARED_FIRST_LISTEN_FD + i }
      const observer = new LogObserver(log, port, settings.port.accessLog)
      const options = {
        observer,
        portOptions: settings.port,
        backends: backendsOf(backends, port.container.port),
      }
      const proxy = await engine.listen(inherited, options, { descriptors })
      // The daemon has all sockets, and starts another process that listens on them.
      proxy.closed.catch((err: unknown) => {
        log.error(brokenListenerMessage(port, proxy.address, err))
        process.exitCode = EXIT_FAILED
        stop.resolve()
      })
      return { port, proxy, observer }
    }),
  )
  await serveOwnStatus(served, descriptors, log, { backends, tail })
  giveUpRights(readUser(process.env), log)
  writeSync(STATUS_FD, STATUS_READY)
  closeSync(STATUS_FD)
  releaseMemorySoon()
  // The daemon may have all ports drain. A broken listener is handled above.
  Promise.all(served.map(({ proxy }) => proxy.closed)).then(
    () => stop.resolve(),
    () => undefined,
  )
  await stop.promise
  for (const { proxy } of served) proxy.stop()
  await log.flush()
  process.exit()
}

main().catch((err: unknown) => {
  const reason = err instanceof Error ? err.message : String(err)
  console.error(reason)
  try {
    writeSync(STATUS_FD, STATUS_FAILED + reason)
  } catch {
    // The pipe is closed, because the ports were ready before.
  }
  process.exit(EXIT_FAILED)
})
