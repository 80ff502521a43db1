import { spawn } from 'node:child_process'
import { writeSync } from 'node:fs'
import yargs from 'yargs'
import { hideBin } from 'yargs/helpers'
import { LOG_FORMAT_OPTION } from './cli/log-format-option.js'
import { parserError } from './cli/arguments.js'
import { parserMessages } from './cli/parser-messages.js'
import { EXIT_FAILED, EXIT_USAGE } from './exit-codes.js'
import { errnoCode, errnoReason } from './linux/errno.js'
import { ignoreHangup, ignoreSignals, stopSignal } from './linux/signals.js'
import { FolderInUseError } from './linux/folder-lock.js'
import { notifySystemd, startSystemdWatchdog } from './linux/systemd.js'
import type { SocketAddress } from './linux/sockets/socket-address.js'
import { type Log, type LogFormat } from './log/log.js'
import { StderrLog } from './log/stderr-log.js'
import { openStderrSink } from './log/stderr-sink.js'
import { printableLines } from './printable.js'
import { keepYoungGenerationSmall } from './memory/heap.js'
import { MAX_THREADS } from './proxy/descriptor-shares.js'
import {
  parseWorkers,
  FILE_VARIABLE,
  readIdleSeconds,
  readLogFormat,
  readSettings,
  refuseUser,
  SettingError,
  type Settings,
} from './proxy/settings.js'
import { WITHOUT_OPTIONS } from './proxy/port-options.js'
import { openStatusPipe, type StatusPipe } from './proxy/status-pipe.js'
import { defaultRunFolder } from './proxyd/default-run-folder.js'
import { openProxyd } from './proxyd/open-proxyd.js'
import type { Proxyd } from './proxyd/proxyd.js'
import { versionLine } from './version.js'

/*
 * Serves the ports of many docker-proxies, which hand them over, in one process.
 */

const NAME = 'docker-proxyd'

interface Options {
  readonly 'run-dir': string | undefined
  readonly workers: string | undefined
  readonly replace: boolean
  readonly 'on-demand': boolean
  readonly after: number | undefined
  readonly 'log-format': LogFormat | undefined
}

function parseOptions(): Options {
  return yargs(hideBin(process.argv))
    .scriptName(NAME)
    .usage(
      'Usage: $0 [OPTIONS]\n\nServes the ports of all docker-proxies that dockerd starts from now on in one process.',
    )
    .option('run-dir', {
      type: 'string',
      requiresArg: true,
      default: defaultRunFolder(),
      describe: 'folder in which docker-proxies find this process [DOCKER_PROXY_RUN_DIR]',
    })
    .option('workers', {
      type: 'string',
      requiresArg: true,
      coerce: (given: string) => parseWorkers(given, '--workers'),
      describe: `threads that may share the work, 1 to ${MAX_THREADS}, or auto [DOCKER_PROXY_WORKERS]`,
    })
    .option('replace', {
      type: 'boolean',
      default: false,
      describe: 'take over from the running docker-proxyd, which ends with its last connection',
    })
    .option('on-demand', {
      type: 'boolean',
      default: false,
      describe:
        'start as docker-proxies do that find none: make way for another one, end when there is no port [DOCKER_PROXY_IDLE_SECONDS]',
    })
    .option('after', { type: 'number', hidden: true })
    .option('log-format', LOG_FORMAT_OPTION)
    .parserConfiguration({ 'duplicate-arguments-array': false })
    .strict()
    .locale('en')
    .updateStrings(parserMessages())
    .version(versionLine(NAME))
    .alias('version', 'v')
    .alias('help', 'h')
    .fail((message, err) => {
      const { argv } = process
      fail(
        EXIT_USAGE,
        message ? parserError(message, hideBin(argv), NAME, []).message : err.message,
      )
    })
    .parseSync()
}

function fail(exitCode: number, reason: string): never {
  openStderrSink()?.write(`${NAME}: ${printableLines(reason)}\n`)
  // It writes at once.
  void starter?.fail(reason)
  process.exit(exitCode)
}

/** Waits for this process, if a launcher has started it. */
let starter: StatusPipe | undefined

async function main(): Promise<void> {
  ignoreSignals()
  keepYoungGenerationSmall()
  let isReady = false
  // Before this process is ready there is nothing to take over.
  process.on('SIGUSR2', () => isReady && startSuccessor(log))
  // A successor inherits no pipe.
  if (process.argv.includes('--on-demand')) starter = openStatusPipe()
  const options = parseOptions()
  const runDir = runFolderOf(options)
  const stop = stopSignal()
  const settings = settingsOf(options)
  const format = options['log-format'] ?? readLogFormat(process.env)
  const log = StderrLog.open(NAME, settings.logLevel, format)
  ignoreHangup(() =>
    log.info('SIGHUP is ignored: SIGUSR2 starts a successor, which reads the settings'),
  )
  const idleMs = readIdleSeconds(process.env) * 1000
  const { replace, 'on-demand': isOnDemand } = options
  const proxyd = await openProxyd(runDir, settings, log, { replace, isOnDemand }).catch(
    (err: unknown) => {
      // Another one serves the launcher.
      if (starter && err instanceof FolderInUseError) return undefined
      throw err
    },
  )
  if (!proxyd) return tellStarter()
  announce(options, runDir, log)
  if (settings.metrics) void serveMetrics(settings.metrics, proxyd, log)
  startSystemdWatchdog(() => proxyd.isOpen)
  isReady = true
  const idle = isOnDemand ? [proxyd.untilIdle(idleMs)] : []
  const signal = await Promise.race([stop, proxyd.replaced, ...idle])
  const ports = proxyd.ports().length
  if (signal) {
    log.info('Stopped: its docker-proxies wait for the next docker-proxyd', { signal, ports })
  } else if (proxyd.isOpen) {
    log.info(`Ended: it had no port for ${idleMs / 1000} s`)
  }
  if (signal ?? proxyd.isOpen) await proxyd.close()
  await log.flush()
  process.exit()
}

function runFolderOf({ 'run-dir': folder }: Options): string {
  if (folder === undefined) {
    fail(EXIT_USAGE, 'there is no XDG_RUNTIME_DIR: name a folder with --run-dir')
  }
  if (folder === '') fail(EXIT_USAGE, '--run-dir "": name a folder')
  return folder
}

/** Never rejects. The code is loaded only here. A successor serves them from its start on. */
async function serveMetrics(address: SocketAddress, proxyd: Proxyd, log: Log): Promise<void> {
  try {
    const { serveOwnMetrics } = await import('./metrics/own-metrics.js')
    proxyd.onSuperseded = serveOwnMetrics(address, () => proxyd.ports(), log)
  } catch (err) {
    log.warn(`Can't serve the metrics: ${errnoReason(err)}`)
  }
}

/** @throws SettingError */
function settingsOf({ workers, 'on-demand': isOnDemand }: Options): Settings {
  const { env } = process
  const own = workers === undefined ? env : { ...env, DOCKER_PROXY_WORKERS: workers }
  const settings = readSettings(own)
  refuseUser(env, NAME)
  if (!isOnDemand) return settings
  // Its environment is that of the first launcher, whose options are not those of other ports.
  const common = readSettings({ ...own, ...WITHOUT_OPTIONS, [FILE_VARIABLE]: '' })
  return { ...settings, port: common.port }
}

async function tellStarter(): Promise<void> {
  // It may have ended.
  await starter?.ready().catch(() => undefined)
}

/** Reports to the launcher, to stdout and to systemd that ports are served. */
function announce(
  { 'on-demand': isOnDemand, replace, after }: Options,
  runDir: string,
  log: Log,
): void {
  if (isOnDemand && !replace) {
    if (after === undefined) log.info('Started by a docker-proxy')
    else log.warn(`docker-proxyd ${after} has ended: its ports are served again`)
    void tellStarter()
  }
  printReady(`${NAME} serves the ports of docker-proxies, in ${runDir}\n`)
  try {
    notifySystemd(`MAINPID=${process.pid}\nREADY=1`)
  } catch (err) {
    log.warn(`Can't notify systemd: ${errnoReason(err)}`)
  }
}

function printReady(line: string): void {
  try {
    writeSync(1, line)
  } catch {
    // Nobody reads stdout, for example because the parent has ended.
  }
}

/** Starts the program that is installed now, which takes over. systemd requests this for `reload`. */
function startSuccessor(log: Log): void {
  const [node, program = '', ...args] = process.argv
  const successor = spawn(
    node ?? process.execPath,
    [program, ...args.filter((arg) => arg !== '--replace'), '--replace'],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    },
  )
  successor.on('error', (err) => log.error(`Can't start a successor: ${errnoReason(err)}`))
  successor.unref()
}

main().catch((err: unknown) => {
  const isShort = ['EMFILE', 'ENFILE'].includes(errnoCode(err) ?? '')
  fail(
    err instanceof SettingError ? EXIT_USAGE : EXIT_FAILED,
    isShort
      ? `${errnoReason(err)}: raise the limit, for example with ulimit -n 1048576`
      : err instanceof Error
        ? err.message
        : String(err),
  )
})
