import { requireSyscalls } from '../../src/linux/ffi/syscalls.js'
import { AF_INET, OPTION, SOCK } from '../../src/linux/ffi/constants.js'
import { requireFfi } from '../../src/linux/ffi/ffi.js'
import { MessageBatch } from '../../src/linux/sockets/message-batch.js'
import { openPortSocket } from '../../src/linux/sockets/port-socket.js'
import { encodeSocketAddress } from '../../src/linux/sockets/socket-address.js'
import { HOST } from '../lib/load-host.js'
import { loadMain } from '../lib/load-main.js'

/*
 * An echo server and a load generator for UDP, each in its own process. Node's dgram would be slower than the proxies.
 *
 *     udp echo PORT
 *     udp load PORT SECONDS SOCKETS WINDOW     prints {"rate": datagrams/s, "received": …, "lost": …}
 */

const SIZE = 512
const RECEIVE_BUFFER = 4 * 1024 * 1024
/** If a socket receives nothing for this long, its datagrams under way count as lost, milliseconds. */
const LOST_MS = 200
/** struct pollfd of poll(2), and POLLIN. */
const POLLFD = { fd: 0, events: 4, returned: 6, size: 8 }
const POLLIN = 1

const calls = requireSyscalls()
const { addressOf, declare } = requireFfi()
const batch = new MessageBatch()
const pollCall = declare('int poll(uintptr_t fds, uint64_t count, int milliseconds)')

/** Waits for any of the sockets. Calls back with the index of each that is readable. */
function poller(fds: readonly number[]): (ready: (index: number) => void) => void {
  const table = Buffer.alloc(fds.length * POLLFD.size)
  fds.forEach((fd, i) => {
    table.writeInt32LE(fd, i * POLLFD.size + POLLFD.fd)
    table.writeInt16LE(POLLIN, i * POLLFD.size + POLLFD.events)
  })
  const address = addressOf(table)
  return (ready) => {
    if (pollCall(address, fds.length, LOST_MS) <= 0) return
    fds.forEach((_, i) => {
      if (table.readInt16LE(i * POLLFD.size + POLLFD.returned)) ready(i)
    })
  }
}

function echo(port: number): never {
  const fd = openPortSocket({ protocol: 'udp', ip: HOST, port })
  calls.setOption(fd, OPTION.SO_RCVBUF, RECEIVE_BUFFER)
  const wait = poller([fd])
  for (;;) {
    wait(() => {
      const count = batch.receive(fd)
      for (let first = 0; first < count;) {
        const length = batch.runLength(first, count)
        batch.reply(fd, first, length, batch.envelope(first))
        first += length
      }
    })
  }
}

/** Each socket keeps `window` datagrams under way. */
function load(port: number, seconds: number, sockets: number, window: number): void {
  const to = encodeSocketAddress({ ip: HOST, port })
  const data = Buffer.alloc(SIZE, 'x')
  const dataAddress = addressOf(data)
  const fds = Array.from({ length: sockets }, () => {
    const fd = calls.socket(AF_INET, SOCK.DGRAM | SOCK.NONBLOCK, 0)
    calls.connect(fd, addressOf(to), to.length)
    calls.setOption(fd, OPTION.SO_RCVBUF, RECEIVE_BUFFER)
    return fd
  })
  const underWay = fds.map(() => 0)
  const lastCame = fds.map(() => performance.now())
  let received = 0
  let lost = 0
  const fill = (i: number): void => {
    while ((underWay[i] ?? 0) < window && calls.send(fds[i] ?? -1, dataAddress, SIZE, 0) > 0) {
      underWay[i] = (underWay[i] ?? 0) + 1
    }
  }
  const wait = poller(fds)
  const start = performance.now()
  let looked = start
  const end = start + seconds * 1000
  fds.forEach((_, i) => fill(i))
  while (performance.now() < end) {
    wait((i) => {
      const count = Math.max(0, batch.receive(fds[i] ?? -1))
      received += count
      underWay[i] = Math.max(0, (underWay[i] ?? 0) - count)
      lastCame[i] = performance.now()
      fill(i)
    })
    const now = performance.now()
    if (now - looked < LOST_MS) continue
    looked = now
    underWay.forEach((count, i) => {
      if (now - (lastCame[i] ?? 0) < LOST_MS) return
      lost += count
      underWay[i] = 0
      fill(i)
    })
  }
  const rate = received / ((performance.now() - start) / 1000)
  console.log(JSON.stringify({ rate, received, lost }))
}

const [, , mode, ...numbers] = process.argv
const [port = 0, seconds = 1, sockets = 1, window = 1] = numbers.map(Number)
loadMain(() => (mode === 'echo' ? echo(port) : load(port, seconds, sockets, window)))
