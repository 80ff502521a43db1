import { Socket } from 'node:net'

/** What a launcher asks for. */
export interface LauncherRequest {
  readonly kind: 'start' | 'stop'
  readonly pid: number
}

/** A request that has no end by then is none, bytes; the kernel writes shorter ones at once, see pipe(7). */
const MAX_LINE = 512

/**
 * Reads what launchers write to the control pipe.
 *
 * @param fd open for both, and not blocking; it is closed with what is returned
 * @param refused called with what is no request
 */
export function readControlPipe(
  fd: number,
  request: (request: LauncherRequest) => void,
  refused: (line: string) => void,
): Socket {
  const pipe = new Socket({ fd, readable: true, writable: false })
  let rest = ''
  pipe.on('data', (data: Buffer) => {
    const lines = (rest + data.toString('latin1')).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [, kind, pid] = /^(start|stop) ([1-9]\d{0,9})$/.exec(line) ?? []
      if (kind === 'start' || kind === 'stop') request({ kind, pid: Number(pid) })
      else refused(line)
    }
    if (rest.length <= MAX_LINE) return
    refused(rest)
    rest = ''
  })
  return pipe
}
