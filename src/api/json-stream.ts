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

/** Elements of an array that become JSON at once. */
const ELEMENTS = 100

/** The JSON of a value in short parts. */
function* parts(value: unknown): Generator<string> {
  if (Array.isArray(value)) {
    let before = '['
    for (let i = 0; i < value.length; i += ELEMENTS) {
      const some = value.slice(i, i + ELEMENTS)
      if (some.some(isObjectWithArrays)) {
        for (const each of some) {
          yield before
          yield* parts(each)
          before = ','
        }
      } else {
        yield before + JSON.stringify(some).slice(1, -1)
        before = ','
      }
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
  if (typeof value !== 'object' || value === null) return false
  for (const key in value) if (Array.isArray(value[key as keyof typeof value])) return true
  return false
}
