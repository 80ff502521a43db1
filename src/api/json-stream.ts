import { Readable } from 'node:stream'
import { Turns } from '../turns.js'

/** Characters that are collected before they are sent. */
const PIECE = 16 * 1024

/** Streams the JSON of a value. The work is divided into turns, because a long list would delay all other requests. */
export function jsonStream(value: unknown): Readable {
  return Readable.from(pieces(value))
}

async function* pieces(value: unknown): AsyncGenerator<string> {
  const turns = new Turns()
  let text = ''
  for (const part of parts(value)) {
    text += part
    if (turns.isOver) await turns.next()
    if (text.length < PIECE) continue
    yield text
    text = ''
  }
  yield text
}

/** The JSON of a value, with each element of its arrays apart. */
function* parts(value: unknown): Generator<string> {
  if (Array.isArray(value)) {
    let before = '['
    for (const each of value) {
      if (isObjectWithArrays(each)) {
        yield before
        yield* parts(each)
      } else {
        yield before + JSON.stringify(each)
      }
      before = ','
    }
    yield value.length === 0 ? '[]' : ']'
  } else if (isObjectWithArrays(value)) {
    let before = '{'
    for (const [key, each] of Object.entries(value)) {
      if (each === undefined) continue
      yield `${before}${JSON.stringify(key)}:`
      yield* parts(each)
      before = ','
    }
    yield '}'
  } else {
    yield JSON.stringify(value)
  }
}

function isObjectWithArrays(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.values(value).some(Array.isArray)
}
