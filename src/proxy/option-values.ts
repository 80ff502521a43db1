import { parseDuration } from '../duration.js'
import { parseNetworks, type Network } from './client-networks.js'

/** How the texts of an option are read. */
export interface OptionValue<Value> {
  /** The accepted texts, in words. */
  readonly expected: string
  /** @returns undefined for a text that is not accepted */
  readonly parse: (text: string) => { readonly value: Value } | undefined
}

/** Clients are counted by network: an attacker or an office has many addresses. */
export interface NetworkLimit {
  /** Connections of one network at most. */
  readonly connections: number
  /** Bits of an IPv4 address that identify its network. */
  readonly ipv4Bits: number
  /** Bits of an IPv6 address that identify its network. */
  readonly ipv6Bits: number
}

/** Connections that have lines in the log. */
export interface AccessLog {
  /** The share of them, 0 for none to 1 for all. Chance chooses. */
  readonly share: number
  /** Whether a line also tells that a connection has begun. */
  readonly hasStarts: boolean
}

export const NO_ACCESS_LOG: AccessLog = { share: 0, hasStarts: false }

/** Higher limits have no effect: a process has fewer descriptors. */
const MOST_CONNECTIONS = 1_000_000
/** The longest time of a Node timer, milliseconds: 596 hours. */
const LONGEST_MS = 2 ** 31 - 1
/** Bits of an address. */
const IPV4_BITS = 32
const IPV6_BITS = 128
/** A host of IPv6 usually has a network of its own, RFC 7421. */
const IPV6_HOST_BITS = 64
/** Bandwidths of an option, bytes per second. The highest one is more than a processor relays, and fits into 31 bits. */
const LEAST_BANDWIDTH = 1_000
const MOST_BANDWIDTH = 2_000_000_000
/** Bytes of each unit. Networks count in decimal bits, memory in binary bytes. */
const BANDWIDTH_UNITS: Readonly<Record<string, number>> = {
  ...{ kB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 },
  ...{ kbit: 125, Mbit: 125e3, Gbit: 125e6 },
}

/** One of a few words. */
export function choice<Value>(
  values: Readonly<Record<string, Value>>,
  expected: string,
): OptionValue<Value> {
  return {
    expected,
    parse: (text) => (Object.hasOwn(values, text) ? { value: values[text] as Value } : undefined),
  }
}

/** A time in milliseconds; Infinity for `off`. */
export const DURATION: OptionValue<number> = {
  expected: 'a time of at most 596h with its unit, for example 500ms, 30s or 5m, or off',
  parse(text) {
    if (text === 'off') return { value: Infinity }
    const ms = parseDuration(text)
    return ms === undefined || ms === 0 || ms > LONGEST_MS ? undefined : { value: ms }
  },
}

/** Addresses and networks; none for `off`. */
export const NETWORKS: OptionValue<readonly Network[]> = {
  expected: 'addresses and networks, for example 10.0.0.0/8,192.0.2.7, or off',
  parse(text) {
    if (text === 'off') return { value: [] }
    const value = parseNetworks(text)
    return value && { value }
  },
}

/** A number of connections; Infinity for `off`. */
export const CONNECTIONS: OptionValue<number> = {
  expected: `1 to ${MOST_CONNECTIONS}, or off`,
  parse(text) {
    if (text === 'off') return { value: Infinity }
    const value = /^\d{1,7}$/.test(text) ? Number(text) : 0
    return value >= 1 && value <= MOST_CONNECTIONS ? { value } : undefined
  },
}

/** A number of connections for each network of clients: `20`, `20/24` or `20/24/48`. */
export const NETWORK_LIMIT: OptionValue<NetworkLimit | undefined> = {
  expected: `1 to ${MOST_CONNECTIONS} for each address, or with the bits of a network of IPv4 and of IPv6, for example 20/24/48, or off`,
  parse(text) {
    if (text === 'off') return { value: undefined }
    const [count = '', ipv4, ipv6, ...more] = text.split('/')
    const connections = CONNECTIONS.parse(count)?.value ?? Infinity
    const ipv4Bits = bits(ipv4, IPV4_BITS, IPV4_BITS)
    const ipv6Bits = bits(ipv6, IPV6_HOST_BITS, IPV6_BITS)
    const isValid = connections < Infinity && more.length === 0
    if (!isValid || ipv4Bits === undefined || ipv6Bits === undefined) return undefined
    return { value: { connections, ipv4Bits, ipv6Bits } }
  },
}

function bits(text: string | undefined, byDefault: number, most: number): number | undefined {
  if (text === undefined) return byDefault
  const value = /^\d{1,3}$/.test(text) ? Number(text) : 0
  return value >= 1 && value <= most ? value : undefined
}

/** Bytes per second; Infinity for `off`. */
export const BANDWIDTH: OptionValue<number> = {
  expected:
    'bytes or bits per second with their unit, from 1kB to 2GB, for example 500kB, 10MiB or 100Mbit, or off',
  parse(text) {
    if (text === 'off') return { value: Infinity }
    const [, number = '', unit = ''] = /^(\d{1,10}(?:\.\d{1,3})?)([A-Za-z]+)$/.exec(text) ?? []
    const bytes = Object.hasOwn(BANDWIDTH_UNITS, unit)
      ? Math.round(Number(number) * (BANDWIDTH_UNITS[unit] ?? 0))
      : 0
    return bytes >= LEAST_BANDWIDTH && bytes <= MOST_BANDWIDTH ? { value: bytes } : undefined
  },
}

/** `on`, `off`, `start`, a share such as `1%`, or `start,1%`. */
export const ACCESS_LOG: OptionValue<AccessLog> = {
  expected: 'on, off, start, a share of the connections such as 1% or 0.1%, or start,1%',
  parse(text) {
    if (text === 'off') return { value: NO_ACCESS_LOG }
    const words = text.split(',')
    const hasStarts = words[0] === 'start'
    if (hasStarts) words.shift()
    const [word = 'on', ...more] = words
    const [, percent] = /^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(word) ?? []
    const share = word === 'on' ? 1 : Number(percent ?? 0) / 100
    const isValid = share > 0 && share <= 1 && more.length === 0
    return isValid ? { value: { share, hasStarts } } : undefined
  },
}
