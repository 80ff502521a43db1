/**
 * Sentences for yargs about wrong arguments.
 * @param program its name in messages
 * @returns for `updateStrings`, whose type lacks the singular and plural forms that yargs expects of some sentences
 */
export function parserMessages(program: string): Record<string, string> {
  const advice = `see ${program} --help`
  const messages = {
    // parserError replaces these two.
    'Not enough non-option arguments: got %s, need at least %s':
      sameForAnyCount('missing argument %s'),
    'Unknown argument: %s': sameForAnyCount('unknown argument: %s'),
    'Not enough arguments following: %s': `the option %s needs a value; ${advice}`,
    'Missing required argument: %s': sameForAnyCount('--%s is missing'),
    'Invalid values:': 'invalid value',
    'Argument: %s, Given: %s, Choices: %s': '--%s is %s, expected one of %s',
  }
  return messages as unknown as Record<string, string>
}

function sameForAnyCount(message: string): { one: string; other: string } {
  return { one: message, other: message }
}
