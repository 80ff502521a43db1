import { EventEmitter } from 'node:events'
import type { Log } from '../../src/log/log.js'

/** A log that keeps its lines; emits `line` with each. */
export class MemoryLog extends EventEmitter implements Log {
  readonly lines: string[] = []
  readonly debugEnabled = false

  error(message: string): void {
    this.#add(message)
  }
  warn(message: string): void {
    this.#add(message)
  }
  info(message: string): void {
    this.#add(message)
  }
  debug(): void {
    // Not kept: nothing is promised about these lines.
  }

  #add(message: string): void {
    this.lines.push(message)
    this.emit('line', message)
  }
}
