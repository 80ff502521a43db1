import type { Test } from 'tap'
import { notRoot } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'

/*
 * A network namespace with few ephemeral ports, so that the proxy finds none for a client's flow.
 */

const PORTS = 4
const CLIENTS = 8

/** Runs the backend, the proxy and its clients in the namespace. Reports the answers, and whether the proxy continues. */
const SCRIPT = `
const { createSocket } = require('dgram')
const { spawn } = require('child_process')
const backend = createSocket('udp4').bind(20000, '127.0.0.1')
backend.on('message', (data, { port }) => backend.send(data, port, '127.0.0.1'))
const flags = '-proto udp -host-ip 127.0.0.1 -host-port 20001 -container-ip 127.0.0.1 -container-port 20000'
const proxy = spawn(process.argv[1], flags.split(' '), { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] })
let answers = 0, complaints = '', asksAgain = false
const clients = Array.from({ length: ${CLIENTS} }, (_, i) => createSocket('udp4').bind(20100 + i, '127.0.0.1'))
const ask = (client) => client.send('x', 20001, '127.0.0.1')
const end = (what) => { console.log(JSON.stringify({ answers, complaints, what })); proxy.kill('SIGKILL'); process.exit() }
const look = () => {
  if (asksAgain) return end('answered again')
  if (answers < ${PORTS} || !complaints.includes('proxy a datagram')) return
  asksAgain = true
  ask(first)
}
let first
for (const client of clients) client.on('message', () => { answers++; first ??= client; look() })
proxy.stderr.on('data', (data) => { complaints += data; if (!asksAgain) look() })
proxy.stdio[3].once('data', () => clients.forEach(ask))
proxy.on('exit', () => end('the proxy has ended'))
`

export function udpShortageSuite(t: Test, target: Target): void {
  for (const engine of ['streams', 'native'] as const) {
    t.test(
      `on ${engine}, no port left for a client's flow is no fault of the others`,
      { skip: notRoot('namespaces') },
      async (t) => {
        const inside = `ip link set lo up; echo '40000 ${40_000 + PORTS - 1}' >/proc/sys/net/ipv4/ip_local_port_range; exec "$@"`
        const running = target.run(
          t,
          ['-n', 'sh', '-ec', inside, 'sh', process.execPath, '-e', SCRIPT, target.program],
          {
            program: 'unshare',
            env: { DOCKER_PROXY_ENGINE: engine },
          },
        )
        const report = JSON.parse(await running.stdout) as Record<string, unknown>
        t.match(report, { answers: PORTS + 1, what: 'answered again' })
        t.match(report['complaints'], "Can't proxy a datagram to udp/127.0.0.1:20000")
      },
    )
  }
}
