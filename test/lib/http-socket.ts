import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/**
 * Serves HTTP on a unix socket until the test ends, in the place of a daemon.
 * @returns the host, as clients of docker and docker-publish write it
 */
export async function serveHttp(t: Test, listener: RequestListener): Promise<string> {
  // A test's own folder may have too long a path for a socket.
  const folder = mkdtempSync(join(tmpdir(), 'http-'))
  const path = join(folder, 'socket')
  const server = createServer(listener).listen(path)
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
    rmSync(folder, { recursive: true })
  })
  return `unix://${path}`
}
