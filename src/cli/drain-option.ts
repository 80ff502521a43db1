import { DRAIN_EXPECTED, parseDrain } from '../duration.js'
import { UsageError } from './usage-error.js'

/**
 * Parses `--drain`: the time that open connections have to end by themselves.
 * @param byDefault without the option, milliseconds
 * @returns milliseconds
 * @throws UsageError
 */
export function parseDrainOption(text: string | undefined, byDefault: number): number {
  const ms = text === undefined ? byDefault : parseDrain(text)
  if (ms !== undefined) return ms
  throw new UsageError(`invalid --drain ${JSON.stringify(text)}: expected ${DRAIN_EXPECTED}`)
}
