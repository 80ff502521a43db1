import { writeSync } from 'node:fs'
import { HostError } from '../controller/api/host.js'
import { Refusal } from '../controller/conflict.js'
import { PortSpecError } from '../controller/port-spec.js'
import { RequestError } from '../controller/request-error.js'
import { errnoCode } from '../linux/errno.js'
import { reportRefusal } from './conflict-report.js'
import { UsageError } from './usage-error.js'

const EXIT_FAILED = 1
const EXIT_USAGE = 2
/** As docker run says that it understood, and could not. */
const EXIT_REFUSED = 125

/** Says why a command ended, and ends with the code that goes with it. */
export function exitWith(err: unknown): never {
  // Whoever reads our output has enough of it, as head(1).
  if (errnoCode(err) === 'EPIPE') process.exit(EXIT_FAILED)
  const errors: unknown[] = err instanceof AggregateError ? err.errors : [err]
  for (const each of errors) complain(wantsJson() ? JSON.stringify(asJson(each)) : describe(each))
  process.exit(exitCode(errors[0]))
}

/** Programs get the error as the API has it. Read off the command line, which may be what is wrong. */
function wantsJson(): boolean {
  const args = process.argv
  return args.includes('--format=json') || args[args.indexOf('--format') + 1] === 'json'
}

function asJson(err: unknown): object {
  const { message } = err as Error
  if (err instanceof Refusal) return { code: err.code, message, ...err.details }
  return { code: exitCode(err) === EXIT_USAGE ? 'bad-request' : 'failed', message }
}

function exitCode(err: unknown): number {
  if (err instanceof Refusal) return EXIT_REFUSED
  const isUsage = [UsageError, PortSpecError, RequestError, HostError].some(
    (kind) => err instanceof kind,
  )
  return isUsage ? EXIT_USAGE : EXIT_FAILED
}

function describe(err: unknown): string {
  if (err instanceof Refusal) return reportRefusal(err)
  return `docker-publish: ${err instanceof Error ? err.message : String(err)}`
}

function complain(text: string): void {
  try {
    writeSync(2, text + '\n')
  } catch {
    // Nobody reads it; the exit code tells as well.
  }
}
