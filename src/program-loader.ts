import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { Script } from 'node:vm'

/*
 * Runs the bundle of a program, which lies beside it, with V8's code cache of the bundle. To compile it takes a fifth of a start. A cache holds
 * for one version of V8; any other compiles the bundle.
 */

/** Names the contents of the bundle, of which V8 compares only the length. Set by the build. */
declare const BUNDLE_ID: string
declare const module: { readonly exports: object }

/** @returns undefined if there is no cache for this Node */
function readCache(): Uint8Array<ArrayBuffer> | undefined {
  try {
    const fd = openSync(`${__filename}.${process.versions.v8}-${BUNDLE_ID}.cache`, 'r')
    const { size } = fstatSync(fd)
    const cache = new Uint8Array(new ArrayBuffer(size, { maxByteLength: size }))
    readSync(fd, cache)
    closeSync(fd)
    return cache
  } catch {
    return undefined
  }
}

const path = `${__filename}.js`
// In stack traces. A cache keeps it, so it has no folder.
const filename = basename(path)
const cachedData = readCache()
// The bundle has no characters beside ASCII.
const script = new Script(readFileSync(path, 'latin1'), { filename, cachedData })
// Otherwise its memory would be held until V8 collects garbage.
cachedData?.buffer.resize(0)
const run = script.runInThisContext() as (...scope: unknown[]) => void
run(module.exports, require, module, __filename, __dirname)
