import { closeSync } from 'node:fs'
import { isPortFree, openPortSocket } from '../../src/linux/sockets/port-socket.js'

/*
 * Port numbers for tests of the controller, which requests ports by number. They lie below the kernel's range for port 0. Each test
 * process has a block of them: it holds the last port of the block as long as it lives, so tests that run side by side use different
 * blocks. Each port is checked before it is used.
 */
const FIRST = 10_000
const PER_PROCESS = 50
const PROCESSES = 440

let block: number | undefined
let next = 0

/** The first of `length` consecutive ports that are free on every address, for TCP and UDP. */
export function freeRow(length: number): number {
  block ??= takeBlock()
  for (let attempt = 0; attempt < PER_PROCESS; attempt++) {
    if (next + length > PER_PROCESS - 1) next = 0
    const first = block + next
    next += length
    if (portsFrom(first, length).every(isFree)) return first
  }
  throw new Error(
    `no ${length} ports in a row are free between ${block} and ${block + PER_PROCESS}`,
  )
}

/** Takes a block in which every port is free: processes of an earlier run, which was killed, may still have some. */
function takeBlock(): number {
  for (let i = 0; i < PROCESSES; i++) {
    const first = FIRST + ((process.pid + i) % PROCESSES) * PER_PROCESS
    const last = first + PER_PROCESS - 1
    let lock: number
    try {
      lock = openPortSocket({ protocol: 'udp', ip: '127.0.0.1', port: last })
    } catch {
      continue // Another test has it.
    }
    if (portsFrom(first, PER_PROCESS - 1).every(isFree)) return first
    closeSync(lock)
  }
  throw new Error('all ports that tests may use are taken')
}

function portsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i)
}

function isFree(port: number): boolean {
  return ['0.0.0.0', '::'].every(
    (ip) => isPortFree({ protocol: 'tcp', ip, port }) && isPortFree({ protocol: 'udp', ip, port }),
  )
}
