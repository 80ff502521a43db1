import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { loadMain } from '../lib/load-main.js'

/*
 * The backend and the clients of a soak: connections and datagrams of all kinds.
 *
 *     mixed backend                                   echoes; prints {"tcp": PORT, "udp": PORT}
 *     mixed load TCP_PORT UDP_PORT SECONDS WINDOW     prints a line for each window of so many seconds, see Window
 */

/** What the clients have done in a window. */
export interface Window {
  /** Connections, and datagrams with their replies. */
  exchanges: number
  /** Bytes that came back, and were compared with those that were sent. */
  bytes: number
  /** Connections that failed or brought other bytes, and lost datagrams. */
  losses: number
  /** Of small exchanges, milliseconds. */
  median: number
  p99: number
}

const IP = '127.0.0.1'
const CLIENTS = 16
const KIB = 1024
/** Sizes of exchanges, bytes. */
const SMALL = KIB
const LARGE = 8 * KIB * KIB
const SLOW = KIB * KIB
/** A slow reader waits so long before it reads, milliseconds. */
const SLOW_MS = 200
const PINGS = 50
/** An exchange that takes longer is lost, milliseconds. */
const LONGEST_MS = 30_000
/** A reply to a datagram that takes longer is lost, milliseconds. */
const DATAGRAM_MS = 2_000
/** Not a power of two, so that shifted data is noticed. */
const PATTERN = Buffer.from(Array.from({ length: 65_521 }, (_, i) => (i * 31 + (i >> 8)) & 255))
const DATA = Buffer.concat(Array.from({ length: 129 }, () => PATTERN)).subarray(0, LARGE)

async function startBackend(): Promise<void> {
  const tcp = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.pipe(socket)
  }).listen(0, IP)
  await once(tcp, 'listening')
  const udp = createSocket('udp4')
  udp.on('message', (data, { address, port }) => udp.send(data, port, address))
  udp.bind(0, IP)
  await once(udp, 'listening')
  console.log(JSON.stringify({ tcp: (tcp.address() as AddressInfo).port, udp: udp.address().port }))
}

let window = newWindow()
let latencies: number[] = []

function newWindow(): Window {
  return { exchanges: 0, bytes: 0, losses: 0, median: 0, p99: 0 }
}

function open(port: number): Socket {
  const socket = connect({ host: IP, port, allowHalfOpen: true, noDelay: true })
  socket.setTimeout(LONGEST_MS, () => socket.destroy())
  socket.on('error', () => undefined)
  return socket
}

/** Sends bytes and the end, and compares what comes back. @param pauseMs before it reads */
async function exchange(port: number, size: number, pauseMs = 0): Promise<void> {
  const start = performance.now()
  const socket = open(port)
  const back = { bytes: 0, isSame: true }
  socket.pause()
  socket.end(DATA.subarray(0, size))
  if (pauseMs > 0) await delay(pauseMs)
  socket.on('data', (data) => {
    if (!data.equals(DATA.subarray(back.bytes, back.bytes + data.length))) back.isSame = false
    back.bytes += data.length
  })
  socket.on('end', () => socket.destroy())
  socket.resume()
  if (!socket.destroyed) await once(socket, 'close')
  window.bytes += back.bytes
  if (back.isSame && back.bytes === size) window.exchanges++
  else window.losses++
  if (size === SMALL) latencies.push(performance.now() - start)
}

/** Several requests on one connection. */
async function pings(port: number): Promise<void> {
  const socket = open(port)
  for (let i = 0; i < PINGS && !socket.destroyed; i++) {
    socket.write('ping')
    await Promise.race([once(socket, 'data'), once(socket, 'close')])
    window.bytes += 'ping'.length
  }
  if (socket.destroyed) window.losses++
  else window.exchanges++
  socket.destroy()
}

/** Goes without a word, in the middle of its data. */
async function vanish(port: number): Promise<void> {
  const socket = open(port)
  socket.write(DATA.subarray(0, SLOW))
  await Promise.race([once(socket, 'data'), once(socket, 'close')])
  socket.resetAndDestroy()
  window.exchanges++
}

async function datagram(port: number): Promise<void> {
  const socket = createSocket('udp4')
  socket.on('error', () => undefined)
  const reply = once(socket, 'message')
  socket.send(DATA.subarray(0, SMALL), port, IP)
  const late = delay(DATAGRAM_MS, undefined, { ref: false })
  const message = (await Promise.race([reply, late])) as [Buffer] | undefined
  socket.close()
  if (message?.[0].equals(DATA.subarray(0, SMALL))) {
    window.exchanges++
    window.bytes += SMALL
  } else window.losses++
}

/** A fixed mix: of 20 turns 12 are small exchanges. */
const TURNS: readonly ((tcp: number, udp: number) => Promise<void>)[] = [
  ...Array.from({ length: 12 }, () => (tcp: number) => exchange(tcp, SMALL)),
  (tcp) => exchange(tcp, LARGE),
  (tcp) => exchange(tcp, SLOW, SLOW_MS),
  (tcp) => pings(tcp),
  (tcp) => vanish(tcp),
  ...Array.from({ length: 4 }, () => (_: number, udp: number) => datagram(udp)),
]

async function runLoad([
  tcp = 0,
  udp = 0,
  seconds = 0,
  every = 1,
]: readonly number[]): Promise<void> {
  const end = performance.now() + seconds * 1000
  const report = (): void => {
    latencies.sort((a, b) => a - b)
    const at = (share: number): number => latencies[Math.floor(share * latencies.length)] ?? 0
    console.log(JSON.stringify({ ...window, median: at(0.5), p99: at(0.99) }))
    window = newWindow()
    latencies = []
  }
  const timer = setInterval(report, every * 1000)
  const client = async (first: number): Promise<void> => {
    for (let turn = first; performance.now() < end; turn++)
      await TURNS[turn % TURNS.length]?.(tcp, udp)
  }
  // Each begins elsewhere in the mix.
  await Promise.all(Array.from({ length: CLIENTS }, (_, i) => client(i * 7)))
  clearInterval(timer)
  report()
}

loadMain(async () => {
  const [role, ...numbers] = process.argv.slice(2)
  if (role === 'backend') await startBackend()
  else await runLoad(numbers.map(Number))
})
