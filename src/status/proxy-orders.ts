import { optionsIn, type PortOptionTexts } from '../proxy/port-options.js'
import { formatBackendList, type BackendList } from './backend-list.js'
import { sendRequest } from './status-socket.js'

/** `backends HOLD_MS IP…`: forward new connections to these addresses of the containers. */
export const BACKENDS_REQUEST = 'backends'
/** `options JSON`: follow these options of ports, and else the settings file. */
export const OPTIONS_REQUEST = 'options'
/** `drain MILLISECONDS`: stop listening, and end after the last connection or this time. */
export const DRAIN_REQUEST = 'drain'
/** `retire MILLISECONDS`: leave the listening socket to another process, and end after the last connection or this time. */
export const RETIRE_REQUEST = 'retire'

/**
 * Has a proxy forward to other addresses of the containers.
 * @param path of its status socket
 * Rejects if it does not reply, or refuses.
 */
export async function orderBackends(path: string, backends: BackendList): Promise<void> {
  await order(path, `${BACKENDS_REQUEST} ${formatBackendList(backends)}`)
}

/**
 * Has a proxy follow other options of its ports, and read its settings file again.
 * @param path of its status socket
 * @param options of its publication, by name; those of this process's environment count where it has none
 * Rejects if it does not reply, or refuses: it keeps its options then.
 */
export async function orderOptions(path: string, options: PortOptionTexts): Promise<void> {
  try {
    const all = { ...optionsIn(process.env), ...options }
    await order(path, `${OPTIONS_REQUEST} ${JSON.stringify(all)}`)
  } catch (err) {
    // The reply of a proxy that knows no such order.
    if (!(err instanceof Error && err.message.startsWith('expected '))) throw err
    throw new Error('its proxy is of an earlier version: withdraw it, and add it again', {
      cause: err,
    })
  }
}

/**
 * Has a proxy stop listening, and end after its last connection.
 * @param path of its status socket
 * @param drainMs the time that its connections have, milliseconds
 * Rejects if it does not reply, or refuses.
 */
export async function orderDrain(path: string, drainMs: number): Promise<void> {
  await order(path, `${DRAIN_REQUEST} ${drainMs}`)
}

/**
 * Has a proxy leave its listening socket to another process that has it as well, and end after its last connection.
 * @param path of its status socket
 * @param drainMs the time that its connections have, milliseconds; Infinity for no limit
 * Rejects if it does not reply, or refuses.
 */
export async function orderRetirement(path: string, drainMs: number): Promise<void> {
  await order(path, `${RETIRE_REQUEST} ${drainMs}`)
}

/** Rejects if a proxy does not reply, or is of a version that does not know `retire`. @param path of its status socket */
export async function refuseUnretirable(path: string): Promise<void> {
  // An order without a time changes nothing. A proxy that knows the order complains of the time.
  const { value, connection } = await sendRequest(path, RETIRE_REQUEST)
  connection.destroy()
  const { error = '' } = value as { error?: string }
  if (error.startsWith('expected ')) {
    throw new Error('its proxy is of an earlier version: withdraw it, and add it again')
  }
}

async function order(path: string, request: string): Promise<void> {
  const { value, connection } = await sendRequest(path, request)
  connection.destroy()
  const { error } = value as { error?: string }
  if (error !== undefined) throw new Error(error)
}
