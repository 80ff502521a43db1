import { readFileSync } from 'node:fs'
import { Value } from 'typebox/value'
import { compareResults, formatChanges, isWorse, notInBoth } from './lib/compare.js'
import { removeBundlesAtEnd } from './lib/places.js'
import { Results } from './lib/results.js'

/*
 * Reports what got slower or fails between two runs of the benchmark. Ends with status 1 if anything did.
 */

const WORSE = 1
const BAD_USAGE = 2

function refuse(message: string): never {
  console.error(message)
  process.exit(BAD_USAGE)
}

function read(path: string): Results {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (err) {
    refuse(
      `can't read ${JSON.stringify(path)}: ${(err as Error).message}; give the results.json of a run`,
    )
  }
  const [fault] = Value.Errors(Results, value)
  if (fault) {
    refuse(
      `${path} is no results.json of this version: ${fault.instancePath || 'it'} ${fault.message}`,
    )
  }
  return value as Results
}

removeBundlesAtEnd()
const [before, after, ...more] = process.argv.slice(2)
if (before === undefined || after === undefined || more.length > 0) {
  refuse('usage: bench/compare OLD NEW, two files results.json')
}
const [old, fresh] = [read(before), read(after)]
const changes = compareResults(old, fresh)
if (changes.length === 0)
  refuse('the two have nothing of ours in common: measure the same scenarios')
console.log(formatChanges(changes))
for (const each of notInBoth(old, fresh)) console.log(`${each}.`)
process.exit(isWorse(changes) ? WORSE : 0)
