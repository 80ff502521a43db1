import { parseIp as parseIpAddress } from '../linux/sockets/ip-address.js'

/*
 * Parses the values of Go's `flag` package as Go does. Source: strconv.ParseInt with base 0, strconv.ParseBool and net.ParseIP.
 */

/** A value that can't be parsed. The message is Go's reason. */
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

// An underscore is allowed between digits, and between a base prefix and the first digit.
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

/**
 * Parses an IP address into its shortest form. An IPv4-mapped IPv6 address becomes the IPv4 address, an empty text the empty address.
 * @throws ValueError `invalid IP address: TEXT`
 */
export function parseIp(text: string): string {
  const ip = text === '' ? '' : parseIpAddress(text)
  if (ip === undefined) throw new ValueError(`invalid IP address: ${text}`)
  return ip
}
