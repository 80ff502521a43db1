/*
 * libuv handles up to 1,024 events, then looks for new ones, up to 48 times as long as each time brings as many, and accepts one connection
 * each time. Only when its loop goes on it watches new sockets. So beside thousands of busy connections a new client would wait for tens of
 * seconds. Source: uv__io_poll and uv__server_io.
 */
const EVENTS_AT_ONCE = 1_024
const SOCKETS_OF_RELAY = 2
/** Open relays that may fill a turn. */
const MANY = EVENTS_AT_ONCE / SOCKETS_OF_RELAY
/** Means nothing here: the kernel sends it to processes that have asked for urgent data of a socket, see signal(7). */
const SIGNAL = 'SIGURG'

/** Open relays of this process. */
let relays = 0
/** Whether the signal is on its way. */
let isEnding = false
const ended = (): void => void (isEnding = false)

/** Notes that a relay was opened. */
export function relayOpened(): void {
  if (++relays === MANY) process.on(SIGNAL, ended)
}

/** Notes that a relay has ended. */
export function relayEnded(): void {
  if (relays-- !== MANY) return
  process.off(SIGNAL, ended)
  isEnding = false
}

/** Whether the turns of the event loop may be long: then each should do what it can for new clients. */
export function mayTurnBeLong(): boolean {
  return relays >= MANY
}

/** Has the event loop go on when each socket had its turn, if that may be late. Call it at each event: libuv goes on after a signal. */
export function endLongTurn(): void {
  if (isEnding || !mayTurnBeLong()) return
  isEnding = true
  process.kill(process.pid, SIGNAL)
}
