import { appendFileSync } from 'node:fs'
import process from 'node:process'

/*
 * Loaded into a Node program under test, see live-heap.ts.
 */

process.on('SIGPWR', () => {
  globalThis.gc?.()
  appendFileSync(process.env['HEAP_FILE'] ?? '', `${process.memoryUsage().heapUsed}\n`)
})
