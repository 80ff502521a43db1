/**
 * The values of Go's `flag` package, read as Go reads them.
 * Source: strconv.ParseInt with base 0, strconv.ParseBool and net.ParseIP.
 */

/** A value that can't be read; the message is the reason Go gives. */
export class ValueError extends Error {
  override readonly name = 'ValueError'
}

const BOOLS = new Map(
  [
    ['1 t T true TRUE True', true],
    ['0 f F false FALSE False', false],
  ].flatMap(([words, value]) => (words as string).split(' ').map((w) => [w, value as boolean])),
)

/** @throws ValueError `parse error` */
export function parseBool(text: string): boolean {
  const value = BOOLS.get(text)
  if (value === undefined) throw new ValueError('parse error')
  return value
}

// An underscore may stand between digits, and between a base's prefix and the first digit.
const INTEGER =
  /^[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)$/
const INT64_MAX = 2n ** 63n - 1n
const INT64_MIN = -(2n ** 63n)

/** @throws ValueError `parse error`, or `value out of range` beyond 64 bits */
export function parseInteger(text: string): number {
  if (!INTEGER.test(text)) throw new ValueError('parse error')
  const negative = text.startsWith('-')
  let digits = text.replace(/^[+-]/, '').replaceAll('_', '')
  if (/^0[0-7]/.test(digits)) digits = '0o' + digits.slice(1)
  const value = negative ? -BigInt(digits) : BigInt(digits)
  if (value > INT64_MAX || value < INT64_MIN) throw new ValueError('value out of range')
  return Number(value)
}

// Not from node:net, whose loading takes a start two milliseconds.
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/
const MAYBE_IPV6 = /^[\da-fA-F:.]+$/

/**
 * An IP address in its shortest form; one mapped into IPv6 (`::ffff:127.0.0.1`) is the IPv4 address,
 * and an empty text the empty address.
 * @throws ValueError `invalid IP address: TEXT`
 */
export function parseIp(text: string): string {
  if (text === '' || IPV4.test(text)) return text
  // No zone (`fe80::1%eth0`): it is no part of Go's net.IP.
  if (!MAYBE_IPV6.test(text) || !URL.canParse(`http://[${text}]`)) {
    throw new ValueError(`invalid IP address: ${text}`)
  }
  const short = new URL(`http://[${text}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(short)
  if (!mapped) return short
  const [high, low] = [parseInt(mapped[1] ?? '', 16), parseInt(mapped[2] ?? '', 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}
