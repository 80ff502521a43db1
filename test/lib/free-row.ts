import { isPortFree, openPortSocket } from '../../src/linux/sockets/port-socket.js'

/*
 * A controller is asked for ports by their numbers, so tests of it need numbers that nobody else uses. These lie
 * below the range from which the kernel gives ports to those who ask for any; each test process takes them from a
 * part of its own, whose last port it holds as long as it lives, so those that run side by side don't meet; and each is
 * looked at before it is used.
 */
const FIRST = 10_000
const PER_PROCESS = 50
const PROCESSES = 440

let part: number | undefined
let next = 0

/** The first of so many ports in a row that are free on every address, for TCP and UDP. */
export function freeRow(length: number): number {
  part ??= takePart()
  for (let attempt = 0; attempt < PER_PROCESS; attempt++) {
    if (next + length > PER_PROCESS - 1) next = 0
    const first = part + next
    next += length
    if (Array.from({ length }, (_, i) => first + i).every(isFree)) return first
  }
  throw new Error(`no ${length} ports in a row are free between ${part} and ${part + PER_PROCESS}`)
}

function takePart(): number {
  for (let i = 0; i < PROCESSES; i++) {
    const first = FIRST + ((process.pid + i) % PROCESSES) * PER_PROCESS
    try {
      openPortSocket({ protocol: 'udp', ip: '127.0.0.1', port: first + PER_PROCESS - 1 })
      return first
    } catch {
      continue // Another test has it.
    }
  }
  throw new Error('all ports that tests may use are taken')
}

function isFree(port: number): boolean {
  return ['0.0.0.0', '::'].every(
    (ip) => isPortFree({ protocol: 'tcp', ip, port }) && isPortFree({ protocol: 'udp', ip, port }),
  )
}
