import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { execa } from 'execa'
import t, { type Test } from 'tap'
import { IMAGE } from '../../lib/engine-namespace.js'
import { freeRow } from '../../lib/free-row.js'
import { startNamespace } from '../../lib/namespace.js'
import { missingForDockerd, startOwnDockerd } from '../../lib/own-dockerd.js'
import { kill } from '../../lib/proc.js'
import { missing } from '../../lib/program.js'
import type { TestDaemon } from '../../lib/publish.js'
import { until } from '../../lib/until.js'

/* Faults of a real dockerd that docker-publish warns of. */

const HOST = '10.99.0.1'
const CLIENT = '10.99.0.2'
/** Sends a datagram each millisecond from port 4000. @param address argument 1 @param port argument 2 */
const SEND = `
const [, address, port] = process.argv
const socket = require('node:dgram').createSocket('udp4').on('error', () => undefined)
socket.bind(4000, () => setInterval(() => socket.send('?', port, address), 1))`

/** What the daemon logs from now on. */
function logOf({ running }: TestDaemon): { readonly text: string } {
  const log = { text: '' }
  running.child.stderr?.on('data', (chunk: Buffer) => (log.text += chunk.toString()))
  return log
}

/** Holds a TCP port in the dockerd's network. */
async function holdPort(t: Test, enter: readonly string[], port: number): Promise<() => void> {
  const listen = `require('node:net').createServer().listen(${port}, '0.0.0.0', () => console.log('up'))`
  const [program = '', ...args] = enter
  const holder = spawn(program, [...args, process.execPath, '-e', listen], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => kill(holder.pid))
  await once(holder.stdout, 'data')
  return () => kill(holder.pid)
}

const skip =
  missingForDockerd() ||
  missing('/usr/sbin/ip', 'iproute2') ||
  missing('/usr/sbin/conntrack', 'conntrack')

t.test('under a real dockerd', { skip }, async (t) => {
  const dockerd = await startOwnDockerd(t, '--live-restore')
  const { docker, enter, version } = dockerd
  t.comment(`dockerd ${version}`)
  const isOld = Number(version.split('.')[0]) < 28
  const daemon = await dockerd.startDaemon()
  const log = logOf(daemon)

  // Earlier engines claim to publish the port.
  const needsNew = isOld && 'needs Docker 28'
  t.test('a port that was taken while dockerd was away', { skip: needsNew }, async (t) => {
    const port = freeRow(1)
    await docker('run', '-d', '--name', 'web', '-p', `${port}:80`, IMAGE)
    await dockerd.kill('SIGKILL')
    await until(async () => (await dockerd.ask(port)) === 'refused')
    const release = await holdPort(t, enter, port)
    await dockerd.restart()
    const warning =
      'The container web runs, but Docker does not publish its ports 80/tcp: once their host ports are free, \\"docker restart web\\" publishes them'
    await until(() => log.text.includes(warning))
    release()
    await docker('restart', '-t', '0', 'web')
    await until(async () => !['refused', 'disconnected'].includes(await dockerd.ask(port)))
    t.equal(log.text.split(warning).length, 2, 'one warning')
    await docker('rm', '-f', 'web')
  })

  // Docker 28 leads such clients to the container itself.
  const needsOld = !isOld && 'needs Docker before 28'
  t.test('a client of UDP that stays with docker-proxy', { skip: needsOld }, async (t) => {
    const [command, ...before] = enter
    const sh = (script: string) => execa(command, [...before, 'sh', '-ec', script])
    const client = await startNamespace(t)
    await sh(`
      ip link add c0 type veth peer name c1 netns ${client.pid}
      ip addr add ${HOST}/24 dev c0; ip link set c0 up`)
    await client.sh(`ip addr add ${CLIENT}/24 dev c1; ip link set c1 up`)
    const port = freeRow(1)
    const runDns = () => docker('run', '-d', '--name', 'dns', '-p', `${port}:80/udp`, IMAGE)
    await runDns()
    await docker('rm', '-f', 'dns')
    client.node(SEND, HOST, `${port}`).catch(() => undefined)
    // The kernel knows the flow, which leads to nobody.
    await until(async () => (await sh('conntrack -L -p udp')).stdout.includes(` dport=${port} `))
    await runDns()
    const warning = `Clients of port ${port}/udp stay with docker-proxy: ${CLIENT}; \\"conntrack -D -p udp --orig-port-dst ${port}\\" leads them to the container`
    await until(() => log.text.includes(warning))
    await sh(`conntrack -D -p udp --orig-port-dst ${port}`)
    const flows = async () => (await sh('conntrack -L -p udp')).stdout
    await until(async () => /dport=(\d+) \[UNREPLIED\] src=172\.17\.\d+\.\d+ /.test(await flows()))
    t.pass()
  })
})
