const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const WEEK = 7 * DAY
const MONTH = 30 * DAY
const YEAR = 365 * DAY

/** The shortest duration of each unit, milliseconds, and docker's words for it. */
const WORDS: [from: number, words: (ms: number) => string][] = [
  [2 * YEAR, (ms) => `${Math.floor(ms / YEAR)} years`],
  [2 * MONTH, (ms) => `${Math.floor(ms / MONTH)} months`],
  [2 * WEEK, (ms) => `${Math.floor(ms / WEEK)} weeks`],
  [2 * DAY, (ms) => `${Math.floor(ms / DAY)} days`],
  [2 * HOUR, (ms) => `${Math.floor(ms / HOUR)} hours`],
  [HOUR, () => 'About an hour'],
  [2 * MINUTE, (ms) => `${Math.floor(ms / MINUTE)} minutes`],
  [MINUTE, () => 'About a minute'],
  [2 * SECOND, (ms) => `${Math.floor(ms / SECOND)} seconds`],
  [SECOND, () => '1 second'],
]

/** Formats a duration as `docker ps` does. @param ms milliseconds */
export function formatDuration(ms: number): string {
  return WORDS.find(([from]) => ms >= from)?.[1](ms) ?? 'Less than a second'
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: SECOND, m: MINUTE, h: HOUR }

/**
 * Parses a duration with its unit: `500ms`, `30s`, `5m` or `1h`.
 * @returns milliseconds; undefined if the text is not one
 */
export function parseDuration(text: string): number | undefined {
  const [, number = '', unit = ''] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? []
  return number === '' ? undefined : Number(number) * (UNITS[unit] ?? NaN)
}

/** The longest time that connections may have to end, milliseconds. */
const LONGEST_DRAIN_MS = 3_600_000

export const DRAIN_EXPECTED = 'a time of at most 1h with its unit, for example 30s or 5m'

/**
 * Parses the time that open connections have to end by themselves when a port is withdrawn.
 * @returns milliseconds; undefined for a text that is not expected
 */
export function parseDrain(text: string): number | undefined {
  const ms = parseDuration(text)
  return ms === undefined || ms > LONGEST_DRAIN_MS ? undefined : ms
}
