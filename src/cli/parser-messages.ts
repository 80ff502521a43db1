/**
 * Sentences for yargs about wrong arguments.
 * @returns for `updateStrings`, whose type lacks the singular and plural forms that yargs expects of some sentences
 */
export function parserMessages(): Record<string, string> {
  const messages = {
    // parserError replaces these.
    'Not enough non-option arguments: got %s, need at least %s':
      sameForAnyCount('missing argument %s'),
    'Unknown argument: %s': sameForAnyCount('unknown argument: %s'),
    'Not enough arguments following: %s': 'missing value: %s',
    'Missing required argument: %s': sameForAnyCount('missing option --%s'),
    'Invalid values:': 'invalid value',
    'Arguments %s and %s are mutually exclusive': 'give either --%s or --%s, and not both',
    'Argument: %s, Given: %s, Choices: %s': '--%s is %s, expected one of %s',
  }
  return messages as unknown as Record<string, string>
}

function sameForAnyCount(message: string): { one: string; other: string } {
  return { one: message, other: message }
}
