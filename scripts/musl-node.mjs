/*
 * What `node SCRIPT [ARGUMENT…]` does, for a Node that is packed into another program, as that program's own script.
 */
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import process from 'node:process'

const [execPath = '', , script = '', ...args] = process.argv
const program = resolve(script)
// How it was started, for who starts another.
process.argv = [process.env['MUSL_NODE'] ?? execPath, program, ...args]
// Its own alone: programs that it starts have another C library.
delete process.env['LD_PRELOAD']
delete process.env['LD_LIBRARY_PATH']
delete process.env['MUSL_NODE']
createRequire(program)(program)
