import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { Script } from 'node:vm'

/*
 * Runs the bundle of a program, which lies beside it, with V8's code cache of the bundle. V8 takes a fifth of a start to compile the bundle. A
 * cache holds for one version of V8; any other version compiles the bundle. Damaged code crashes V8. Therefore the cache ends with a checksum,
 * which detects lost blocks of a disk.
 */

/** Names the contents of the bundle, of which V8 compares only the length. Set by the build. */
declare const BUNDLE_ID: string
declare const module: { readonly exports: object }

const WORD = Uint32Array.BYTES_PER_ELEMENT
/** Words from one that is checked to the next. */
const STEP = 64
const EXIT_FAILED = 1

/** @returns undefined if there is no sound cache for this Node */
function readCache(): Uint8Array<ArrayBuffer> | undefined {
  try {
    const { arch, versions } = process
    const fd = openSync(`${__filename}.${arch}-${versions.v8}-${BUNDLE_ID}.cache`, 'r')
    const { size } = fstatSync(fd)
    const buffer = new ArrayBuffer(size, { maxByteLength: size })
    const read = readSync(fd, new Uint8Array(buffer))
    closeSync(fd)
    const words = new Uint32Array(buffer)
    const end = words.length - 1
    const isSound = read === size && end > 0 && checksum(words, end) === words[end]
    return isSound ? new Uint8Array(buffer, 0, end * WORD) : undefined
  } catch {
    return undefined
  }
}

/** The sum of two words of each 512 bytes, as in scripts/record-code-cache.js. A sum of all words takes milliseconds. */
function checksum(words: Uint32Array, end: number): number {
  let sum = 1
  for (let i = 0; i < end; i += STEP) sum = (Math.imul(sum, 31) + (words[i] ?? 0)) | 0
  return sum >>> 0
}

const path = `${__filename}.js`

/** @returns the bundle, which has no characters beside ASCII */
function readBundle(): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    console.error(`${basename(__filename)} can't read ${path}: install it again, or link to it`)
    process.exit(EXIT_FAILED)
  }
}

const cachedData = readCache()
// The name in stack traces. The cache stores it, so it has no folder.
const filename = basename(path)
const script = new Script(readBundle(), { filename, cachedData })
// Frees the memory of the cache now, and not at the next collection of garbage.
cachedData?.buffer.resize(0)
const run = script.runInThisContext() as (...scope: unknown[]) => void
run(module.exports, require, module, __filename, __dirname)
