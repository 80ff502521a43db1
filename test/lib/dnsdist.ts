import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { datagramHeader } from '../../src/proxy/proxy-header.js'
import { bindUdp, receive } from './datagrams.js'
import { freeRow } from './free-row.js'
import { until } from './until.js'

/*
 * A real dnsdist that expects a PROXY header before each query, and answers by the client in it.
 */

/** Clients, and the addresses that they get for every name. */
export const DNSDIST_CLIENTS = [
  ['127.0.0.8', '192.0.2.8'],
  ['127.0.0.9', '192.0.2.9'],
] as const

export async function startDnsdist(t: Test): Promise<{ ip: string; port: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'dnsdist-'))
  const file = join(folder, 'dnsdist.conf')
  const port = freeRow(1)
  const rules = DNSDIST_CLIENTS.map(
    ([client, answer]) => `addAction("${client}/32", SpoofAction("${answer}"))`,
  )
  writeFileSync(
    file,
    `setLocal("127.0.0.1:${port}")
setACL("127.0.0.0/8")
setProxyProtocolACL("127.0.0.0/8")
setSecurityPollSuffix("")
${rules.join('\n')}
`,
  )
  const child = spawn('/usr/bin/dnsdist', ['--supervised', '-C', file], { stdio: 'ignore' })
  const exit = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
    rmSync(folder, { recursive: true, force: true })
  })
  // The socket of UDP has no sign of its own that somebody listens.
  const probe = await bindUdp(t)
  const header = datagramHeader({
    client: { ip: DNSDIST_CLIENTS[0][0], port: 1 },
    server: { ip: '127.0.0.1', port },
  })
  let isUp = false
  probe.socket.on('message', () => (isUp = true))
  await until(() => {
    if (child.exitCode !== null) throw new Error(`dnsdist has ended with ${child.exitCode}`)
    if (!isUp) probe.socket.send(Buffer.concat([header, QUERY]), port, '127.0.0.1')
    return isUp
  })
  return { ip: '127.0.0.1', port }
}

/** A query for the address of `a`, see RFC 1035. */
const QUERY = Buffer.from('abcd01000001000000000000016100' + '00010001', 'hex')
/** Bytes of an IPv4 address, at the end of the answer. */
const ADDRESS_LENGTH = 4

/** Asks through a port of 127.0.0.1. @returns the address in the answer */
export async function askDnsdist(t: Test, from: string, port: number): Promise<string> {
  const { socket } = await bindUdp(t, from)
  const answer = receive(socket)
  socket.send(QUERY, port, '127.0.0.1')
  return (await answer).data.subarray(-ADDRESS_LENGTH).join('.')
}
