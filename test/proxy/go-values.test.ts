import t from 'tap'
import { parseBool, parseInteger, parseIp } from '../../src/proxy/go-values.js'

t.test('integers in every base, with signs and underscores', async (t) => {
  const good: [string, number][] = [
    ['0', 0],
    ['00', 0],
    ['8080', 8080],
    ['+5', 5],
    ['-1', -1],
    ['1_000', 1000],
    ['0x1f90', 8080],
    ['0X1F90', 8080],
    ['0x_1f_90', 8080],
    ['-0x1f', -31],
    ['0b101', 5],
    ['0B1_0', 2],
    ['0o17', 15],
    ['0O17', 15],
    ['017', 15],
    ['0_17', 15],
    ['9223372036854775807', 2 ** 63],
    ['-9223372036854775808', -(2 ** 63)],
  ]
  for (const [text, value] of good) t.equal(parseInteger(text), value, text)

  const unreadable = '|abc| 1|1 |08|0_8|_1|1_|1__0|0x|0x_|0b2|0o8|1e3|1.0|--1|+|-|0x1g|１'.split(
    '|',
  )
  for (const text of unreadable)
    t.throws(() => parseInteger(text), { message: 'parse error' }, text)
  for (const text of ['9223372036854775808', '-9223372036854775809', '0xffffffffffffffff']) {
    t.throws(() => parseInteger(text), { message: 'value out of range' }, text)
  }
})

t.test('booleans in the twelve spellings', async (t) => {
  for (const text of ['1', 't', 'T', 'true', 'TRUE', 'True']) t.equal(parseBool(text), true, text)
  for (const text of ['0', 'f', 'F', 'false', 'FALSE', 'False']) t.equal(parseBool(text), false)
  for (const text of ['', 'yes', 'tRUE', '2', ' 1']) {
    t.throws(() => parseBool(text), { message: 'parse error' }, text)
  }
})

t.test('IP addresses in their shortest form', async (t) => {
  const good: [string, string][] = [
    ['', ''],
    ['127.0.0.1', '127.0.0.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['::1.2.3.4', '::102:304'],
  ]
  for (const [text, ip] of good) t.equal(parseIp(text), ip, text)
  for (const text of [
    'abc',
    '1.2.3',
    '01.2.3.4',
    '1.2.3.256',
    'fe80::1%eth0',
    '1::2::3',
    ':',
    ' ::1',
  ]) {
    t.throws(() => parseIp(text), { message: `invalid IP address: ${text}` }, text)
  }
})
