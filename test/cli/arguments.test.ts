import t from 'tap'
import { normalizeArguments, parserError } from '../../src/cli/arguments.js'

t.test('what docker accepts becomes what yargs accepts', async (t) => {
  for (const [given, expected] of [
    ['help', '--help'],
    ['help add', 'add --help'],
    ['add -p8080:80 -- 172.17.0.2', 'add -p 8080:80 172.17.0.2'],
    ['ls -Hunix:///x', 'ls -H unix:///x'],
    ['ls -H=unix:///x', 'ls -H=unix:///x'],
  ] as const) {
    t.strictSame(normalizeArguments(given.split(' ')), expected.split(' '), given)
  }
})

t.test('an error quotes what was given, and names the help of the command', async (t) => {
  const commands = ['add <backend>', 'port <name> [port]', 'ls']
  for (const [message, line, expected] of [
    ['missing argument 0 1', 'add -p 80', '<backend> is missing: see x add --help'],
    ['unknown argument: nope', 'ls --nope=1', 'unknown argument "--nope=1": see x ls --help'],
    [
      'unknown argument: some-thing, someThing',
      'ls --some-thing=1',
      'unknown argument "--some-thing=1": see x ls --help',
    ],
    ['unknown argument: fly', 'fly', 'unknown argument "fly": see x --help'],
    ['a command is missing: see x --help', '--bogus', 'unknown argument "--bogus": see x --help'],
    ['missing value: p', 'add -p', 'the option -p needs a value: see x add --help'],
    ['invalid value\n  --format is "y"', 'ls', 'invalid value: --format is "y"'],
  ] as const) {
    t.match(parserError(message, line.split(' '), 'x', commands), {
      code: 'EUSAGE',
      message: expected,
    })
  }
})
