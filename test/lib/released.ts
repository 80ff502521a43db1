import { connect } from 'node:net'
import { once } from 'node:events'
import type { Test } from 'tap'
import { processIds, processParent, processSockets } from '../../src/linux/proc/process.js'
import { readSocketTable, STATE } from '../../src/linux/proc/socket-table.js'

const ATTEMPTS = 20

/**
 * Asserts that no process of this test listens on the port any more. A test that runs beside this one may have been given it meanwhile.
 */
export async function assertReleased(t: Test, port: number, ip = '127.0.0.1'): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (await refuses(port, ip)) {
      t.pass(`nobody listens on port ${port}`)
      return
    }
    const holders = holdersOf(port)
    if (holders.length > 0) {
      const own = holders.filter((pid) => !belongsToAnotherTest(pid))
      t.same(own, [], `only processes of other tests listen on port ${port}`)
      return
    }
  }
  t.fail(`port ${port} accepts connections, and nobody seems to hold it`)
}

/** Whether nobody listens on a port. */
export async function refuses(port: number, ip = '127.0.0.1'): Promise<boolean> {
  const socket = connect(port, ip)
  try {
    await once(socket, 'connect')
    return false
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException
    // The listener was closed while the connection waited there.
    if (code === 'ECONNRESET') return false
    if (code !== 'ECONNREFUSED') throw err
    return true
  } finally {
    socket.destroy()
  }
}

function holdersOf(port: number): number[] {
  const listening = readSocketTable('tcp').filter(
    ({ local, state }) => local.port === port && state === STATE.listen,
  )
  return processIds().filter((pid) => {
    try {
      const sockets = processSockets(pid)
      return listening.some(({ inode }) => sockets.has(inode))
    } catch {
      return false // It has ended meanwhile.
    }
  })
}

/** Tests that run side by side are processes of one parent. */
function belongsToAnotherTest(pid: number): boolean {
  let member: number | undefined = pid
  while (member !== undefined && member > 1) {
    const parent = processParent(member)
    if (parent === process.ppid) return member !== process.pid
    member = parent
  }
  return false
}
