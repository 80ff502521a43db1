/** Runs a program to its end, and writes V8's code cache of its bundle. Arguments: the path of the program, of the cache, and those of the program. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname } from 'node:path'
import process from 'node:process'
import v8 from 'node:v8'
import { Script } from 'node:vm'

const [node = '', , program = '', cache = '', ...args] = process.argv
// V8 takes a cache only with the flags with which it was made.
v8.setFlagsFromString = () => undefined
process.argv = [node, program, ...args]
const path = `${program}.js`
const script = new Script(readFileSync(path, 'latin1'), { filename: basename(path) })
// The cache has what has run until then.
process.on('exit', () => writeFileSync(cache, script.createCachedData()))
const run = /** @type {(...scope: unknown[]) => void} */ (script.runInThisContext())
const module = { exports: {} }
run(module.exports, createRequire(program), module, program, dirname(program))
