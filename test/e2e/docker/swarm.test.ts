import { existsSync } from 'node:fs'
import t from 'tap'
import { IMAGE } from '../../lib/engine-namespace.js'
import { freeRow } from '../../lib/free-row.js'
import { missingForDockerd, startOwnDockerd } from '../../lib/own-dockerd.js'
import { until } from '../../lib/until.js'

/* A swarm of one node, with a real dockerd. */

/** Of docker0, which dockerd has made. */
const NODE_ADDRESS = '172.17.0.1'

t.test('under a real dockerd', { skip: missingForDockerd() }, async (t) => {
  const dockerd = await startOwnDockerd(t)
  const { docker } = dockerd
  await docker('swarm', 'init', '--advertise-addr', NODE_ADDRESS, '--listen-addr', NODE_ADDRESS)
  const daemon = await dockerd.startDaemon()
  const port = freeRow(1)
  await docker(
    ...['service', 'create', '--detach', '--name', 'shop_web'],
    ...['--publish', `published=${port},target=80`, IMAGE],
  )
  await until(async () => (await docker('ps', '--quiet')) !== '')

  t.test('the ingress ports of its services are listed', async (t) => {
    const { stdout } = await daemon.cli('ls', '--all')
    const row = `^shop_web \\(docker, swarm service\\) +0\\.0\\.0\\.0:${port}->80/tcp +up, without a proxy `
    t.match(stdout, new RegExp(row, 'm'))
    const listed: unknown = JSON.parse((await daemon.cli('ls', '--all', '--format', 'json')).stdout)
    t.match(listed, { dockerPorts: [{ service: 'shop_web', hostPort: port, protocol: 'tcp' }] })
  })

  t.test('a conflict with such a port names the service', async (t) => {
    const { code, stderr } = await daemon.cli('add', '-p', `${port}:80`, '127.0.0.1')
    t.equal(code, 125)
    // Without IPVS, dockerd does not hold the port itself.
    const isHeld = existsSync(`/proc/${dockerd.pid}/net/ip_vs`)
    t.comment(isHeld ? 'dockerd holds the port' : 'no process holds the port')
    t.match(
      stderr,
      isHeld
        ? /^failed to bind host port 0\.0\.0\.0:\d+\/tcp: address already in use\n/
        : /^Bind for 0\.0\.0\.0:\d+ failed: port is already allocated\n/,
    )
    const held = isHeld
      ? /^ {2}held by {3}dockerd .*, a published port of the swarm service shop_web\)/m
      : /^ {2}held by {3}.*the swarm service shop_web/m
    t.match(stderr, held)
    t.match(stderr, /^ {2}free {6}the ports \d+/m)
    const check = await daemon.cli('check', '-p', `${port}:80`)
    t.match(check, { code: 125, stderr: held })
    // Another protocol is another port.
    t.match(await daemon.cli('check', '-p', `${port}:80/udp`), { code: 0 })
  })

  t.test('a container with an overlay network alone is refused', async (t) => {
    const name = await docker('ps', '--format', '{{.Names}}')
    const { code, stderr } = await daemon.cli('add', '-p', '127.0.0.1::80', name)
    t.equal(code, 125)
    t.match(stderr, `this host does not reach ${name}: its network ingress is of the kind overlay`)
    t.same(await daemon.client.list(), [])
  })

  t.test('a bridge network is enough', async (t) => {
    const name = await docker('ps', '--format', '{{.Names}}')
    await docker('network', 'connect', 'bridge', name)
    const { ports } = await daemon.client.add({ container: name, ports: ['127.0.0.1::80'] })
    await until(async () => (await dockerd.ask(ports[0]?.hostPort ?? 0)) !== 'refused')
    const answer = await dockerd.ask(ports[0]?.hostPort ?? 0)
    t.match(await docker('ps', '--format', '{{.ID}}'), answer)
  })
})
