import { createHash, randomBytes } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { execaSync } from 'execa'
import t from 'tap'
import { processCommand, processIds } from '../../src/linux/proc/process.js'
import {
  makeDnsImage,
  makeWebImage,
  otherDockerd,
  startDockerd,
  type DockerError,
} from '../lib/dockerd.js'
import { startBench } from '../lib/bench.js'
import { freeRow } from '../lib/free-row.js'
import { kill } from '../lib/proc.js'
import { missing, notRoot, PROGRAM, stop } from '../lib/program.js'
import { startProxyd } from '../lib/proxyd.js'
import { publish, startDaemon } from '../lib/publish.js'
import { testImage } from '../lib/image.js'
import { until } from '../lib/until.js'

const IMAGE = 'web:local'
const HTTPD = ['httpd', '-f', '-p', '80', '-h', '/www']
const MB = 1_000_000

const skip =
  missing('/usr/sbin/dockerd', 'docker.io') ||
  missing('/bin/busybox', 'busybox-static') ||
  missing('/usr/sbin/iptables', 'iptables') ||
  notRoot('for dockerd') ||
  otherDockerd()

async function fetchPage(port: number, path = '/', host = '127.0.0.1'): Promise<Buffer> {
  const request = get({ host, port, path, agent: false })
  const [response] = (await once(request, 'response')) as [NodeJS.ReadableStream]
  return buffer(response)
}

async function isHello(port: number, host?: string): Promise<boolean> {
  return (await fetchPage(port, '/', host)).toString() === 'hello from a container\n'
}

/** As isHello, for a container whose server may not listen yet. */
async function saysHello(port: number): Promise<boolean> {
  await until(() => isHello(port).catch(() => false))
  return true
}

t.test('under a real dockerd', { skip }, async (t) => {
  const dockerd = await startDockerd(t, { DOCKER_PROXY_ON_DEMAND: 'no' })
  const { docker } = dockerd
  const big = randomBytes(50 * MB)
  await makeWebImage(dockerd, IMAGE, big)

  const refusal = async (...args: string[]): Promise<DockerError> =>
    docker(...args).then(
      () => Promise.reject(new Error('not refused')),
      (err: unknown) => err as DockerError,
    )
  /** Command lines of the proxies of a port. */
  const proxies = (port: number, protocol = 'tcp'): string[] =>
    execaSync('ps', ['-eo', 'args'])
      .stdout.split('\n')
      .filter((line) => line.includes(`${PROGRAM} -proto ${protocol} `))
      .filter((line) => line.includes(` -host-port ${port} `))

  const port = freeRow(1)
  await docker('run', '-d', '--name', 'web_svr01', '-p', `${port}:80`, IMAGE, ...HTTPD)
  await docker('run', '-d', '--name', 'web_svr02', '-p', '80', IMAGE, ...HTTPD)
  /** The port that dockerd chose, for IPv4 and IPv6: two numbers if one of them was taken. */
  const chosenPorts = async (name: string): Promise<[number, number]> => {
    const [v4, v6] = (await docker('port', name, '80/tcp')).split('\n')
    return [Number(v4?.split(':').at(-1)), Number(v6?.split(':').at(-1))]
  }
  const [otherPort, otherPort6] = await chosenPorts('web_svr02')

  t.test('two containers are reached by HTTP, over IPv4 and IPv6', async (t) => {
    t.ok(await saysHello(port))
    t.ok(await isHello(port, '::1'))
    t.ok(await saysHello(otherPort))
    t.ok(await isHello(otherPort6, '::1'))
  })

  t.test('the processes look as the original', async (t) => {
    const ip = await docker(...['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'web_svr01'])
    const line = (hostIp: string): string =>
      `${PROGRAM} -proto tcp -host-ip ${hostIp} -host-port ${port} -container-ip ${ip} -container-port 80`
    t.same(proxies(port).sort(), [line('0.0.0.0'), line('::')])
  })

  t.test('ls --all names the containers', async (t) => {
    const { stdout } = await publish(t, ['ls', '--all'], { DOCKER_HOST: dockerd.host })
    t.match(
      stdout,
      new RegExp(`^web_svr01 \\(docker\\) +172.* 0\\.0\\.0\\.0:${port}->80/tcp,.* up `, 'm'),
    )
    t.match(stdout, /^web_svr02 \(docker\) /m)
  })

  t.test('50 MB arrive as they were sent', async (t) => {
    const hash = (data: Buffer): string => createHash('sha256').update(data).digest('hex')
    t.equal(hash(await fetchPage(port, '/big')), hash(big))
  })

  t.test('a client in the container reaches its own published port', async (t) => {
    const gateway = await docker(...['inspect', '-f', '{{.NetworkSettings.Gateway}}', 'web_svr01'])
    const url = `http://${gateway}:${port}/`
    t.equal(await docker('exec', 'web_svr01', 'wget', '-qO-', url), 'hello from a container')
  })

  t.test("a second container on the port is refused with dockerd's own text", async (t) => {
    const { exitCode, stderr } = await refusal(
      ...['run', '-d', '--name', 'web_svr03', '-p', `${port}:90`, IMAGE, ...HTTPD],
    )
    t.equal(exitCode, 125)
    t.match(stderr, `Bind for 0.0.0.0:${port} failed: port is already allocated`)
    await docker('rm', '-f', 'web_svr03')
    t.ok(await isHello(port))
  })

  t.test('docker-publish names the holder where dockerd does not', async (t) => {
    const ip = await docker(...['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'web_svr01'])
    const { stderr } = await refusal('run', '--rm', '-p', `${port}:90`, IMAGE, ...HTTPD)
    const ours = await publish(t, ['check', '-p', `${port}:90`])
    t.match(stderr, `Bind for 0.0.0.0:${port} failed: port is already allocated`)
    t.comment(`docker run says: ${stderr.trim()}`)
    t.comment(`docker-publish says: ${ours.stderr}`)
    t.equal(ours.code, 125)
    const [first, held] = ours.stderr.split('\n')
    t.equal(first, `failed to bind host port 0.0.0.0:${port}/tcp: address already in use`)
    t.match(held, `a published port of ${ip}:80) on 0.0.0.0:${port}`)
  })

  t.test('a holder in a container is named with the container', async (t) => {
    const taken = freeRow(1)
    const httpd = ['httpd', '-f', '-p', String(taken), '-h', '/www']
    const id = await docker(
      ...['run', '-d', '--name', 'holder', '--network', 'host', IMAGE],
      ...httpd,
    )
    await saysHello(taken)
    const { stderr, code } = await publish(t, ['check', '-p', `${taken}:80`])
    t.match(stderr, new RegExp(`held by   httpd -f -p ${taken}.*, container ${id.slice(0, 12)}\\)`))
    t.equal(code, 125)
    await docker('rm', '-f', 'holder')
  })

  t.test('a port of a real container is published while it runs', async (t) => {
    const ip = await docker(...['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'web_svr02'])
    const daemon = await startDaemon(t)
    const { ports } = await daemon.client.add({ name: 'more', backend: ip, ports: ['80'] })
    t.ok(await isHello(ports[0]?.hostPort ?? 0))
    await daemon.client.remove('more')
  })

  t.test('a port held by a process is refused with the text of the proxy', async (t) => {
    const holder = createServer().listen(0, '0.0.0.0')
    await once(holder, 'listening')
    t.teardown(() => holder.close())
    const held = (holder.address() as AddressInfo).port
    const { exitCode, stderr } = await refusal('run', '--rm', '-p', `${held}:80`, IMAGE, ...HTTPD)
    t.equal(exitCode, 125)
    t.match(
      stderr,
      `Error starting userland proxy: failed to listen on 0.0.0.0:${held}: listen tcp4 0.0.0.0:${held}: bind: address already in use`,
    )
    t.same(proxies(held), [])
  })

  const noDig = missing('/usr/bin/dig', 'bind9-dnsutils')
  const noDns = missing('/usr/sbin/dnsmasq', 'dnsmasq-base')
  t.test('a DNS server is queried over UDP', { skip: noDns }, async (t) => {
    await makeDnsImage(dockerd, 'dns:local')
    const udpPort = freeRow(1)
    const dnsmasq =
      'dnsmasq -k -C /dev/null --pid-file= --user=root -R -h -A /web_svr01.test/192.0.2.7'
    await docker(
      ...['run', '-d', '--name', 'dns_svr01', '-p', `${udpPort}:53/udp`, 'dns:local'],
      ...dnsmasq.split(' '),
    )
    t.equal(proxies(udpPort, 'udp').length, 2)
    if (!noDig) {
      const options = ['@127.0.0.1', '-p', String(udpPort), '+short', '+tries=10', '+timeout=2']
      const answer = execaSync('dig', [...options, 'web_svr01.test']).stdout
      t.equal(answer, '192.0.2.7')
    }
    for (const server of [`127.0.0.1:${udpPort}`, `[::1]:${udpPort}`]) {
      // It may not listen yet: then the resolver tries again.
      const resolver = new Resolver({ timeout: 1000, tries: 20 })
      resolver.setServers([server])
      t.same(await resolver.resolve4('web_svr01.test'), ['192.0.2.7'])
    }
    await docker('rm', '-f', 'dns_svr01')
    t.same(proxies(udpPort, 'udp'), [])
  })

  t.test('ports that are published from now on share a docker-proxyd', async (t) => {
    const proxyd = await startProxyd(t, { folder: dockerd.proxydFolder })
    const shared = freeRow(11)
    const range = `${shared + 1}-${shared + 10}:80-89`
    const ports = ['-p', `${shared}:80`, '-p', range]
    await docker('run', '-d', '--name', 'shared', ...ports, IMAGE, ...HTTPD)
    t.ok(await saysHello(shared))
    t.ok(await isHello(shared, '::1'))
    t.ok(await isHello(port), 'one that was there before goes on')
    t.same(
      proxies(shared).map((line) => line.split(' ')[0]),
      ['/bin/sh', '/bin/sh'],
    )
    t.equal(proxyd.lines.filter(({ msg }) => String(msg).startsWith('Proxy listening')).length, 22)

    const held = proxyd.lines.length
    const { stderr } = await refusal('run', '--rm', '-p', `${shared}:80`, IMAGE, ...HTTPD)
    t.match(stderr, `Bind for 0.0.0.0:${shared} failed: port is already allocated`)
    t.equal(proxyd.lines.length, held, 'dockerd has started no docker-proxy')

    await docker('rm', '-f', 'shared')
    t.same(proxies(shared), [])
    await t.rejects(fetchPage(shared), { code: 'ECONNREFUSED' })
    t.match(await stop(proxyd), { code: 0 })
  })

  const hasSctp = existsSync('/proc/net/sctp') && 'this kernel has SCTP'
  t.test('SCTP is refused in the words of the kernel', { skip: hasSctp }, async (t) => {
    const { exitCode, stderr } = await refusal('run', '--rm', '-p', '53/sctp', IMAGE, ...HTTPD)
    t.equal(exitCode, 125)
    t.match(stderr, /failed to listen on 0\.0\.0\.0:\d+: protocol not supported/)
  })

  t.test('a container that restarts is reached again at once', async (t) => {
    for (let times = 0; times < 3; times++) {
      t.ok(await saysHello(port))
      await docker('restart', '-t', '0', 'web_svr01')
    }
    t.ok(await saysHello(port))
  })

  t.test('the proxies are gone after docker rm', async (t) => {
    t.equal(proxies(port).length, 2)
    await docker('rm', '-f', 'web_svr01')
    t.same(proxies(port), [])
    await t.rejects(isHello(port), { code: 'ECONNREFUSED' })
    t.ok(await isHello(otherPort), 'the other container is still published')
  })

  const noBase = missing('/usr/sbin/debootstrap', 'debootstrap')
  t.test('the image is built, started and reached', { skip: noBase }, async (t) => {
    const ip = await docker(...['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'web_svr02'])
    await testImage(t, dockerd, { ip, port: 80 }, saysHello)
  })
})

t.test('under a dockerd with one line in daemon.json', { skip }, async (t) => {
  const dockerd = await startDockerd(t, { DOCKER_PROXY_IDLE_SECONDS: '1' })
  const { docker, proxydFolder } = dockerd
  await makeWebImage(dockerd, IMAGE, Buffer.alloc(0))
  const servers = (): number[] =>
    processIds().filter((pid) => {
      const command = processCommand(pid)
      return command?.includes('--on-demand') && command.includes(proxydFolder)
    })
  const first = freeRow(20)
  const publish = ['-p', `${first}-${first + 19}:80-99`]
  await docker('run', '-d', '--name', 'wide', ...publish, IMAGE, ...HTTPD)
  t.ok(await saysHello(first))
  const [killed, ...others] = servers()
  t.same(others, [], 'one docker-proxyd for 40 docker-proxies')

  kill(killed)
  t.ok(await saysHello(first), 'the next one serves its ports')
  t.ok(await isHello(first, '::1'))
  t.equal(servers().length, 1)

  await docker('rm', '-f', 'wide')
  await t.rejects(isHello(first), { code: 'ECONNREFUSED' })
  await until(() => servers().length === 0)
  t.match(readFileSync(join(proxydFolder, 'log'), 'utf8'), 'it had no port for 1 s')
})

t.test('the benchmark measures docker run', { skip, timeout: 120_000 }, async (t) => {
  const peers = ['--peers', 'docker-proxy,docker-proxyd']
  const bench = startBench(t, ['--quick', '--only', 'dockerd', ...peers])
  t.equal(await bench.exit, 0)
  const [scenario] = bench.results().scenarios
  t.equal(scenario?.rows.length, 2)
  for (const { values, failure } of scenario?.rows ?? []) {
    t.equal(failure, undefined)
    t.ok((values['run']?.median ?? 0) > 0)
  }
  t.equal(otherDockerd(), false)
  t.same(bench.leftOvers(), [])
})
