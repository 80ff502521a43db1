import { spawn } from 'node:child_process'
import { writeSync } from 'node:fs'
import yargs from 'yargs'
import { hideBin } from 'yargs/helpers'
import { stopSignal } from './cli/stop-signal.js'
import { keepYoungGenerationSmall } from './heap.js'
import { errnoCode, errnoReason } from './linux/errno.js'
import { notifySystemd, tellSystemdOfLife } from './linux/systemd.js'
import { StderrLog, type Log } from './log/log.js'
import { openStderrSink } from './log/stderr-sink.js'
import { MAX_THREADS } from './proxy/engine-share.js'
import { parseWorkers, readSettings, SettingError } from './proxy/settings.js'
import { defaultRunFolder } from './proxyd/default-run-folder.js'
import { openProxyd } from './proxyd/open-proxyd.js'
import { versionLine } from './version.js'

/*
 * One process for the ports of many docker-proxies, which hand theirs over.
 */

const NAME = 'docker-proxyd'
const EXIT_FAILED = 1
const EXIT_USAGE = 2

interface Options {
  readonly 'run-dir': string | undefined
  readonly workers: string | undefined
  readonly replace: boolean
}

function parseOptions(): Options {
  return yargs(hideBin(process.argv))
    .scriptName(NAME)
    .usage(
      'Usage: $0 [OPTIONS]\n\nServes the ports of all docker-proxies that dockerd starts from now on, in one process.',
    )
    .option('run-dir', {
      type: 'string',
      requiresArg: true,
      default: defaultRunFolder(),
      describe: 'folder in which docker-proxies find it [DOCKER_PROXY_RUN_DIR]',
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
      describe: 'take the place of the one that runs, which ends with its last connection',
    })
    .parserConfiguration({ 'duplicate-arguments-array': false })
    .demandCommand(0, 0, '', 'there are only options here')
    .strict()
    .locale('en')
    .version(versionLine(NAME))
    .alias('version', 'v')
    .alias('help', 'h')
    .fail((message, err) => fail(EXIT_USAGE, message || err.message))
    .parseSync()
}

function fail(exitCode: number, reason: string): never {
  // Whether anybody takes it or not.
  openStderrSink()?.write(`${NAME}: ${reason}\n`)
  process.exit(exitCode)
}

async function main(): Promise<void> {
  keepYoungGenerationSmall()
  let isReady = false
  // Before it is ready, what starts is what is installed by now.
  process.on('SIGUSR2', () => isReady && startSuccessor(log))
  const options = parseOptions()
  const runDir = options['run-dir']
  if (runDir === undefined) {
    fail(EXIT_USAGE, 'there is no XDG_RUNTIME_DIR: name a folder with --run-dir')
  }
  if (runDir === '') fail(EXIT_USAGE, '--run-dir "": name a folder')
  const stop = stopSignal()
  const workers = options.workers
  const settings = readSettings(
    workers === undefined ? process.env : { ...process.env, DOCKER_PROXY_WORKERS: workers },
  )
  const log = StderrLog.open(NAME, settings.logLevel)
  const proxyd = await openProxyd(runDir, settings, log, options)
  tellReady(`${NAME} serves the ports of docker-proxies, in ${runDir}\n`)
  try {
    notifySystemd(`MAINPID=${process.pid}\nREADY=1`)
  } catch (err) {
    log.warn(`Can't tell systemd that all is ready: ${errnoReason(err)}`)
  }
  tellSystemdOfLife(() => proxyd.isOpen)
  isReady = true
  const signal = await Promise.race([stop, proxyd.left])
  if (signal) {
    log.info('Stopped: its docker-proxies wait for the next', {
      signal,
      ports: proxyd.ports().length,
    })
    await proxyd.close()
  }
  await log.flush()
  process.exit()
}

/** Nobody may be there to hear it, as when what has started us is gone. */
function tellReady(line: string): void {
  try {
    writeSync(1, line)
  } catch {
    // It serves them all the same.
  }
}

/** Starts what is installed by now in our place; systemd has us do this for `reload`. */
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
  successor.on('error', (err) => log.error(`Can't start another: ${errnoReason(err)}`))
  successor.unref()
}

main().catch((err: unknown) => {
  const isShort = ['EMFILE', 'ENFILE'].includes(errnoCode(err) ?? '')
  fail(
    err instanceof SettingError ? EXIT_USAGE : EXIT_FAILED,
    isShort
      ? `${errnoReason(err)}: raise the limit, as with ulimit -n 1048576`
      : err instanceof Error
        ? err.message
        : String(err),
  )
})
