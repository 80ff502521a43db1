import { writeSync } from 'node:fs'
import { EXIT_FAILED, EXIT_USAGE } from './exit-codes.js'
import { errnoReason } from './linux/errno.js'
import { ignoreSignals, SAME_SIGNAL_MS } from './linux/signals.js'
import type { Account } from './linux/accounts.js'
import { setProcessName } from './linux/proc/process-name.js'
import type { SocketAddress } from './linux/sockets/socket-address.js'
import type { Log } from './log/log.js'
import { openStderrSink } from './log/stderr-sink.js'
import { LogTail } from './log/log-tail.js'
import { StderrLog } from './log/stderr-log.js'
import { printable } from './printable.js'
import { chooseEngine, openEngine } from './proxy/choose-engine.js'
import { DescriptorBudget } from './proxy/descriptor-budget.js'
import { drain } from './proxy/drain.js'
import { ListenError } from './proxy/engine.js'
import { FlagError, parseFlags, publishedPortOf, usage, type Flags } from './proxy/flags.js'
import { LISTEN_FD } from './proxy/inherited-descriptors.js'
import { brokenListenerMessage, tooFewDescriptors } from './proxy/listen-error.js'
import { logListening, LogObserver } from './proxy/log-observer.js'
import { PROXY_NAME } from './proxy/proxy-command.js'
import {
  checkOnDemand,
  ISOLATION_VARIABLE,
  readIsolation,
  readLogFormat,
  readSettings,
  readUser,
  refuseUser,
  SettingError,
} from './proxy/settings.js'
import { openStatusPipe, type StatusPipe } from './proxy/status-pipe.js'
import { defaultRunFolder } from './proxyd/default-run-folder.js'
import { BACKENDS_VARIABLE, backendsOf, parseBackendList } from './status/backend-list.js'
import { readOptionsAgain } from './status/own-options.js'
import { portStatus } from './status/port-status.js'
import { giveUpRights } from './status/own-rights.js'
import { serveOwnStatus, type OwnPort, type OwnProcess } from './status/own-status.js'
import { STATUS_SOCKET_VARIABLE } from './status/status-socket.js'
import { versionLine } from './version.js'

/*
 * The drop-in for Docker's own docker-proxy: flags → listener → engine → status pipe.
 */

async function main(): Promise<void> {
  ignoreSignals()
  const [, program = PROXY_NAME, ...args] = process.argv
  const path = launcherPath() ?? program
  const flags = readFlags(path, args)
  if (flags.version) return printVersion()

  const status = openStatusPipe()
  const fail = (err: unknown): Promise<never> => reportFailure(status, err)
  const { descriptors, drainMs, metrics, user, log, backends, tail, ...own } =
    await publish(flags).catch(fail)
  const { port, proxy } = own
  stopOnSignal(own, drainMs, log)
  readOptionsOnSignal(own, log)
  await serveOwnStatus([own], descriptors, log, { backends, tail })
  if (metrics) void serveMetrics(metrics, own, log)
  // The kernel lets only root's processes and those of the same user change the name.
  if (user) setProcessName(PROXY_NAME, [path, ...args])
  try {
    giveUpRights(user, log)
  } catch (err) {
    await fail(err)
  }
  status
    .ready()
    .catch((err: unknown) =>
      log.warn(`Can't tell the parent that the port is ready: ${errnoReason(err)}`),
    )
  if (!user) setProcessName(PROXY_NAME, [path, ...args])
  logListening(log, port, proxy.address, { isReported: STATUS_SOCKET_VARIABLE in process.env })

  try {
    await proxy.closed
    // The parent has had it drain.
    await log.flush()
    process.exit()
  } catch (err) {
    log.error(brokenListenerMessage(port, proxy.address, err))
    await log.flush()
    process.exit(EXIT_FAILED)
  }
}

interface Published extends OwnPort, OwnProcess {
  readonly descriptors: DescriptorBudget
  /** Time that open connections have to end after a signal, milliseconds. */
  readonly drainMs: number
  /** Where to serve metrics; undefined for nowhere. */
  readonly metrics: SocketAddress | undefined
  /** The user to become; undefined for none. */
  readonly user: Account | undefined
  readonly log: StderrLog
}

/** Rejects with ListenError, SettingError. */
async function publish(flags: Flags): Promise<Published> {
  const requested = publishedPortOf(flags)
  if (!requested) throw new ListenError('EPROTO', `unsupported protocol ${flags.protocol}`)
  const port = flags.useListenFd ? { ...requested, listenFd: LISTEN_FD } : requested
  const settings = readSettings(process.env)
  checkOnDemand(process.env)
  const user = readUser(process.env)
  if (readIsolation(process.env) === 'shared') {
    refuseUser(process.env, 'docker-proxyd')
    throw noProxydError()
  }
  const tail = new LogTail()
  // Without a daemon, nobody asks for it.
  const hasDaemon = STATUS_SOCKET_VARIABLE in process.env
  const format = readLogFormat(process.env)
  const log = StderrLog.open(PROXY_NAME, settings.logLevel, format, hasDaemon ? tail : undefined)
  const descriptors = DescriptorBudget.ofProcess(settings.workers)
  if (descriptors.isTooSmall) throw tooFewDescriptors(port)
  const observer = new LogObserver(log, port, settings.port.accessLog)
  const list = process.env[BACKENDS_VARIABLE]
  const backends = list === undefined ? undefined : parseBackendList(list)
  const proxy = await openEngine(settings, log).listen(
    port,
    {
      observer,
      portOptions: settings.port,
      ...(backends && { backends: backendsOf(backends, port.container.port) }),
    },
    { descriptors },
  )
  // A parent that gives orders also orders to drain.
  const drainMs = hasDaemon ? 0 : settings.drainMs
  // The daemon has the metrics of all its ports.
  const metrics = hasDaemon ? undefined : settings.metrics
  return { port, proxy, observer, descriptors, drainMs, metrics, user, log, backends, tail }
}

/** Never rejects. The code is loaded only here. */
async function serveMetrics(
  address: SocketAddress,
  { port, proxy }: OwnPort,
  log: Log,
): Promise<void> {
  const since = Date.now()
  try {
    const { serveOwnMetrics } = await import('./metrics/own-metrics.js')
    serveOwnMetrics(address, () => [portStatus(process.pid, port, proxy, since)], log)
  } catch (err) {
    log.warn(`Can't serve the metrics: ${errnoReason(err)}`)
  }
}

/** Tells the parent and stderr why the port can't be published, and ends. */
async function reportFailure(status: StatusPipe, err: unknown): Promise<never> {
  if (!(err instanceof SettingError || err instanceof ListenError)) throw err
  // The message may quote a setting.
  const message = printable(err.message)
  // The parent first: it must learn of the failure, whatever happens to stderr.
  await status.fail(message).catch(() => undefined)
  const hint = err instanceof ListenError && err.hint !== '' ? ` (${err.hint})` : ''
  complain(message + hint)
  process.exit(err instanceof SettingError ? EXIT_USAGE : EXIT_FAILED)
}

/** The path by which the launcher was called that has become this program. Child processes do not need it. */
function launcherPath(): string | undefined {
  const { DOCKER_PROXY_COMMAND: path } = process.env
  delete process.env['DOCKER_PROXY_COMMAND']
  return path
}

function readFlags(path: string, args: readonly string[]): Flags {
  try {
    return parseFlags(args)
  } catch (err) {
    if (!(err instanceof FlagError)) throw err
    if (err.message !== '') complain(err.message)
    complain(usage(path).trimEnd())
    process.exit(err.exitCode)
  }
}

/** The launcher has become this program, although the port must share a docker-proxyd. */
function noProxydError(): SettingError {
  const folder = defaultRunFolder()
  const where = folder === undefined ? '' : ` in ${folder}`
  return new SettingError(
    `${ISOLATION_VARIABLE} is shared, and no docker-proxyd${where} serves this port: start docker-proxyd, read its log if it has ended, or set ${ISOLATION_VARIABLE} to auto`,
  )
}

/** @param drainMs time that open connections have to end, milliseconds; a later signal ends them at once */
function stopOnSignal({ port, proxy }: OwnPort, drainMs: number, log: StderrLog): void {
  let drainsSince: number | undefined
  let isStopping = false
  const stop = (signal: NodeJS.Signals): void => {
    const { accepted, active, failedDials } = proxy.counters
    if (drainsSince !== undefined && performance.now() - drainsSince < SAME_SIGNAL_MS) return
    if (drainMs > 0 && active > 0 && drainsSince === undefined) {
      drainsSince = performance.now()
      log.info('Waits for open connections to end', { signal, connections: active })
      // The process ends with the last one.
      return drain(port, proxy, drainMs)
    }
    // Ctrl-C may come twice: from the terminal, and from a parent that forwards it.
    if (isStopping) return
    isStopping = true
    proxy.stop()
    log.info('Proxy stopped', { signal, accepted, failedDials })
    void log.flush().then(() => process.exit())
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
}

/** Go programs, and so the original, ignore SIGUSR2. */
function readOptionsOnSignal(port: OwnPort, log: StderrLog): void {
  process.on('SIGUSR2', () => {
    try {
      readOptionsAgain([port])
      log.info('Has read the options of the port again')
    } catch (err) {
      log.error(`The port keeps its options: ${errnoReason(err)}`)
    }
  })
}

/** Prints the version, and the engine that the settings lead to on this machine. */
function printVersion(): void {
  print(versionLine(PROXY_NAME))
  try {
    let why = ''
    const log = StderrLog.open(PROXY_NAME, 'silent')
    const { name } = chooseEngine(readSettings(process.env), log, (reason) => {
      why = ` (native does not load: ${reason})`
    })
    print(`engine: ${name}${why}`)
  } catch (err) {
    if (!(err instanceof SettingError)) throw err
    complain(err.message)
    process.exit(EXIT_USAGE)
  }
}

function print(line: string): void {
  try {
    writeSync(1, line + '\n')
  } catch (err) {
    complain(`can't write to stdout: ${errnoReason(err)}`)
    process.exit(EXIT_FAILED)
  }
}

/** Writes to stderr. If nobody reads it, the exit code and the status pipe report the failure. */
function complain(text: string): void {
  openStderrSink()?.write(text + '\n')
}

void main()
