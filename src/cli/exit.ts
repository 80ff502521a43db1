import { HostError } from '../api/host.js'
import { RequestError } from '../controller/request-error.js'
import { EXIT_FAILED, EXIT_REFUSED, EXIT_USAGE } from '../exit-codes.js'
import { errnoCode } from '../linux/errno.js'
import { PortSpecError } from '../ports/port-spec.js'
import { Refusal } from '../ports/refusal.js'
import { printableJson } from '../printable.js'
import { SettingError } from '../proxy/settings.js'
import { reportRefusal } from './conflict-report.js'
import { complain } from './output.js'
import { UsageError } from './usage-error.js'

/** Errors of what the user gave. */
const USAGE_ERRORS = [UsageError, PortSpecError, RequestError, HostError, SettingError]

/** Reports why a command has failed, and ends with the exit code of the error. @param program its name in messages */
export function exitWith(err: unknown, program: string): never {
  // The reader of our output has closed it, for example head(1).
  if (errnoCode(err) === 'EPIPE') process.exit(EXIT_FAILED)
  const errors: unknown[] = err instanceof AggregateError ? err.errors : [err]
  for (const each of errors) {
    complain(wantsJson() ? printableJson(JSON.stringify(toJson(each))) : describe(each, program))
  }
  process.exit(exitCode(errors[0]))
}

/** Programs get the error in the API's form. Read from the command line itself, because the error may be in the command line. */
function wantsJson(): boolean {
  const args = process.argv
  return args.includes('--format=json') || args[args.indexOf('--format') + 1] === 'json'
}

function toJson(err: unknown): object {
  const { message } = err as Error
  if (err instanceof Refusal) return { code: err.code, message, ...err.details }
  return { code: exitCode(err) === EXIT_USAGE ? 'bad-request' : 'failed', message }
}

function exitCode(err: unknown): number {
  if (err instanceof Refusal) return EXIT_REFUSED
  const isUsage = USAGE_ERRORS.some((kind) => err instanceof kind)
  return isUsage ? EXIT_USAGE : EXIT_FAILED
}

function describe(err: unknown, program: string): string {
  if (err instanceof Refusal) return reportRefusal(err)
  return `${program}: ${err instanceof Error ? err.message : String(err)}`
}
