import { EXIT_FAILED, EXIT_REFUSED, EXIT_USAGE } from '../exit-codes.js'
import { errnoCode } from '../linux/errno.js'
import type { Refusal } from '../ports/refusal.js'
import { printableJson } from '../printable.js'
import { reportRefusal } from './conflict-report.js'
import { complain } from './output.js'

/** Codes of usage errors. Classes say nothing here: the daemon's code is in a file of its own, with classes of its own. */
const USAGE_CODES = ['EUSAGE', 'EBADPORT', 'EBADHOST', 'EBADSETTING', 'bad-request']

/** Codes of requests that were not refused, but failed. */
const FAILED_CODES: readonly string[] = ['state-not-saved', 'no-engine']

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
  if (isRefusal(err)) return { code: err.code, message, ...err.details }
  return { code: exitCode(err) === EXIT_USAGE ? 'bad-request' : 'failed', message }
}

function exitCode(err: unknown): number {
  if (isRefusal(err)) return FAILED_CODES.includes(err.code) ? EXIT_FAILED : EXIT_REFUSED
  return USAGE_CODES.includes(errnoCode(err) ?? '') ? EXIT_USAGE : EXIT_FAILED
}

function describe(err: unknown, program: string): string {
  if (isRefusal(err)) return reportRefusal(err)
  return `${program}: ${err instanceof Error ? err.message : String(err)}`
}

function isRefusal(err: unknown): err is Refusal {
  return err instanceof Error && err.name === 'Refusal'
}
