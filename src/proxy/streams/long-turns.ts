/*
 * A turn of libuv's loop asks the kernel for 1,024 events up to 48 times, as long as there are as many. Each time, a listener accepts one
 * connection. A new socket is watched from the next turn on. A new client would therefore wait for tens of seconds beside thousands of busy
 * connections. Source: uv__io_poll and uv__server_io.
 */
const EVENTS_AT_ONCE = 1_024
const SOCKETS_OF_RELAY = 2
/** Relays that may fill a turn. Idle ones count as well: then the signal is one system call too many in each turn. */
const MANY = EVENTS_AT_ONCE / SOCKETS_OF_RELAY
/** SIGURG has no other use in this process. The kernel sends it to processes that have asked for urgent data, see signal(7). */
const SIGNAL = 'SIGURG'

/** Open relays. The count belongs to the process, because all its ports share one event loop. */
let relays = 0
/** Whether the signal is on its way. */
let isEnding = false
const ended = (): void => void (isEnding = false)

/** Notes that a relay was opened. */
export function relayOpened(): void {
  if (relays + 1 === MANY) process.on(SIGNAL, ended)
  relays++
}

/** Notes that a relay has ended. */
export function relayEnded(): void {
  if (relays-- !== MANY) return
  process.off(SIGNAL, ended)
  isEnding = false
}

/** Whether the turns of the event loop may be long. */
export function mayTurnBeLong(): boolean {
  return relays >= MANY
}

/** Ends the current turn of the event loop after each ready socket was served once, if it may be a long one. Call it at each event. */
export function endLongTurn(): void {
  if (isEnding || !mayTurnBeLong()) return
  isEnding = true
  process.kill(process.pid, SIGNAL)
}
