/**
 * Runs a program to its end, and writes V8's code cache of its bundle. Arguments: the path of the program, the path of the cache, and the
 * arguments of the program.
 */
import { Buffer } from 'node:buffer'
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
// The cache contains the functions that have run.
process.on('exit', () => writeFileSync(cache, withChecksum(script.createCachedData())))
const run = /** @type {(...scope: unknown[]) => void} */ (script.runInThisContext())
const module = { exports: {} }
run(module.exports, createRequire(program), module, program, dirname(program))

/**
 * Adds the checksum that src/program-loader.ts compares.
 * @param {Buffer} data
 * @returns {Buffer}
 */
function withChecksum(data) {
  const length = Math.ceil(data.length / 4) * 4
  const padded = Buffer.alloc(length + 4)
  data.copy(padded)
  let sum = 1
  for (let i = 0; i < length; i += 256) sum = (Math.imul(sum, 31) + padded.readUInt32LE(i)) | 0
  padded.writeUInt32LE(sum >>> 0, length)
  return padded
}
