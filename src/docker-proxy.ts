import { writeSync } from 'node:fs'
import { errnoReason } from './linux/errno.js'
import { setProcessName } from './linux/process-name.js'
import { StderrLog } from './log/log.js'
import { openStderrSink } from './log/stderr-sink.js'
import { chooseEngine, openEngine } from './proxy/choose-engine.js'
import { DescriptorBudget } from './proxy/descriptor-budget.js'
import { ListenError, type Proxy } from './proxy/engine.js'
import { parseFlags, portOfFlags, usage, UsageError, type Flags } from './proxy/flags.js'
import { brokenListenerText } from './proxy/listen-error.js'
import { tellListening } from './proxy/tell-listening.js'
import { readIsolation, readSettings, SettingError } from './proxy/settings.js'
import { defaultRunFolder } from './proxyd/default-run-folder.js'
import { openStatusPipe } from './proxy/status-pipe.js'
import { versionLine } from './version.js'

/*
 * The drop-in for Docker's own docker-proxy: flags → listener → engine → status pipe.
 */

const NAME = 'docker-proxy'
/** The number by which dockerd hands over a listening socket. */
const LISTEN_FD = 4

const EXIT_FAILED = 1
const EXIT_USAGE = 2

async function main(): Promise<void> {
  const [, program = NAME, ...args] = process.argv
  const path = launcherPath() ?? program
  const flags = readFlags(path, args)
  if (flags.version) return printVersion()

  const status = openStatusPipe()
  const fail = async (exitCode: number, reason: string, hint = ''): Promise<never> => {
    // The parent first: whatever becomes of stderr, it must learn of this.
    await status.failed(reason).catch(() => undefined)
    complain(hint === '' ? reason : `${reason} (${hint})`)
    process.exit(exitCode)
  }

  const asked = portOfFlags(flags)
  if (!asked) return fail(EXIT_FAILED, `unsupported protocol ${flags.proto}`)
  const port = flags.useListenFd ? { ...asked, listenFd: LISTEN_FD } : asked
  let log: StderrLog
  let proxy: Proxy
  try {
    const settings = readSettings(process.env)
    if (readIsolation(process.env) === 'shared') throw noProxydError()
    log = StderrLog.open(NAME, settings.logLevel)
    const engine = openEngine(settings, log)
    proxy = await engine.listen(port, {
      log,
      descriptors: DescriptorBudget.ofProcess(settings.workers),
    })
  } catch (err) {
    if (err instanceof SettingError) return fail(EXIT_USAGE, err.message)
    if (err instanceof ListenError) return fail(EXIT_FAILED, err.message, err.hint)
    throw err
  }

  stopOnSignal(proxy, log)
  status
    .ready()
    .catch((err: unknown) =>
      log.warn(`Can't tell the parent that all is ready: ${errnoReason(err)}`),
    )
  setProcessName(NAME, [path, ...args])
  tellListening(log, port, proxy.address)

  try {
    await proxy.closed
  } catch (err) {
    log.error(brokenListenerText(port, proxy.address, err))
    await log.flush()
    process.exit(EXIT_FAILED)
  }
}

/** How the launcher was called that has become this; it is nobody else's to see. */
function launcherPath(): string | undefined {
  const { DOCKER_PROXY_COMMAND: path } = process.env
  delete process.env['DOCKER_PROXY_COMMAND']
  return path
}

function readFlags(path: string, args: readonly string[]): Flags {
  try {
    return parseFlags(args)
  } catch (err) {
    if (!(err instanceof UsageError)) throw err
    if (err.message !== '') complain(err.message)
    complain(usage(path).trimEnd())
    process.exit(err.exitCode)
  }
}

/** The launcher has become this program, though it was told to share one. */
function noProxydError(): SettingError {
  const folder = process.env['DOCKER_PROXY_RUN_DIR'] || defaultRunFolder()
  const where = folder === undefined ? '' : ` in ${folder}`
  return new SettingError(
    `DOCKER_PROXY_ISOLATION is shared, and no docker-proxyd${where} serves this port: start docker-proxyd, see why in its log, or set it to auto`,
  )
}

function stopOnSignal(proxy: Proxy, log: StderrLog): void {
  let stopping = false
  const stop = (signal: NodeJS.Signals): void => {
    // Ctrl-C may come twice: from the terminal, and from a parent that passes it on.
    if (stopping) return
    stopping = true
    proxy.close()
    const { accepted, failedDials } = proxy.counters
    log.info('Proxy stopped', { signal, accepted, failedDials })
    void log.flush().then(() => process.exit())
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  // Nothing to a program in Go; Node would end, or listen for a debugger.
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGALRM']) process.on(signal, () => undefined)
}

/** The version, and the engine that the settings and this machine come to. */
function printVersion(): void {
  print(versionLine(NAME))
  try {
    let why = ''
    const { name } = chooseEngine(readSettings(process.env), (reason) => {
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

/** Where nobody takes it from stderr, the exit code and the status pipe tell as well. */
function complain(text: string): void {
  openStderrSink()?.write(text + '\n')
}

void main()
