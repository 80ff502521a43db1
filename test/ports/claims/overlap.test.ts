import { closeSync } from 'node:fs'
import t from 'tap'
import { portsOverlap } from '../../../src/ports/claims/overlap.js'
import type { HostPort } from '../../../src/ports/host-port.js'
import { openPortSocket } from '../../../src/linux/sockets/port-socket.js'
import { freeRow } from '../../lib/free-row.js'
import { pick, seeded } from '../../lib/seeded.js'

t.test('which ports exclude each other', async (t) => {
  const claim = (text: string): HostPort => {
    const [protocol = '', ip = '', port = ''] = text.split(' ')
    return { protocol: protocol as HostPort['protocol'], ip, port: Number(port) }
  }
  const cases: [string, string, boolean][] = [
    ['tcp 0.0.0.0 80', 'tcp 0.0.0.0 80', true],
    ['tcp 0.0.0.0 80', 'tcp 127.0.0.1 80', true],
    ['tcp 127.0.0.1 80', 'tcp 0.0.0.0 80', true],
    ['tcp 127.0.0.1 80', 'tcp 127.0.0.2 80', false],
    ['tcp 127.0.0.1 80', 'tcp 127.0.0.1 81', false],
    ['tcp 127.0.0.1 80', 'udp 127.0.0.1 80', false],
    ['tcp 0.0.0.0 80', 'tcp :: 80', false],
    ['tcp :: 80', 'tcp ::1 80', true],
    ['udp :: 80', 'udp :: 80', true],
  ]
  for (const [a, b, expected] of cases)
    t.equal(portsOverlap(claim(a), claim(b)), expected, `${a}, ${b}`)
})

t.test('random claims: the verdict is the one of bind', async (t) => {
  const random = seeded(7540)
  const first = freeRow(3)
  let conflicts = 0
  for (let round = 0; round < 400; round++) {
    const held: { claim: HostPort; fd: number }[] = []
    try {
      for (let i = 0; i < 6; i++) {
        const claim: HostPort = {
          protocol: pick(random, ['tcp', 'udp']),
          ip: pick(random, ['0.0.0.0', '127.0.0.1', '127.0.0.2', '::', '::1']),
          port: first + Math.floor(random() * 3),
        }
        const expected = held.some((other) => portsOverlap(other.claim, claim))
        let refused = false
        try {
          held.push({ claim, fd: openPortSocket(claim) })
        } catch (err) {
          refused = (err as NodeJS.ErrnoException).code === 'EADDRINUSE'
          if (!refused) throw err
        }
        if (refused) conflicts++
        if (refused !== expected) t.fail(`${JSON.stringify(claim)} among ${JSON.stringify(held)}`)
      }
    } finally {
      for (const { fd } of held) closeSync(fd)
    }
  }
  t.ok(conflicts > 100, `${conflicts} conflicts`)
})
