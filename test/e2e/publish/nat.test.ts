import { existsSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import t, { type Test } from 'tap'
import { startHostBetween, type HostBetween, type Namespace } from '../../lib/namespace.js'
import { identify } from '../../../src/linux/proc/process-identity.js'
import { processParent, processCommand, processIds } from '../../../src/linux/proc/process.js'
import { orderBackends } from '../../../src/status/proxy-orders.js'
import { inspectReply, startFakeEngine } from '../../lib/fake-engine.js'
import { missing, notRoot } from '../../lib/program.js'
import { inSandboxOf } from '../../lib/sandbox.js'
import { kill } from '../../lib/proc.js'
import { leftovers, startDaemon, type TestDaemon } from '../../lib/publish.js'
import { until } from '../../lib/until.js'

/* Ports that the kernel translates, without any container engine: a client, a host and a container, each a network namespace. */

const skip =
  notRoot('to make network namespaces') ||
  missing('/usr/sbin/nft', 'nftables') ||
  missing('/usr/sbin/iptables', 'iptables')

const CLIENT = '10.99.0.2'
const HOST = '10.99.0.1'
/** The host's address towards the container. */
const HOST_INSIDE = '172.30.0.1'
const CONTAINER = '172.30.0.2'
/** An address in the container's network that no container has. */
const NO_CONTAINER = '172.30.0.3'
const [CLIENT6, HOST6, HOST_INSIDE6, CONTAINER6] = ['fd99::2', 'fd99::1', 'fd30::1', 'fd30::2']

/** Tells each client its own address. @param address argument 1 @param port argument 2 */
const TELL = `
const [, address, port] = process.argv
const own = (text) => text.replace('::ffff:', '')
require('node:net').createServer((socket) => socket.end(own(socket.remoteAddress))).listen(port, address)
const udp = require('node:dgram').createSocket(address.includes(':') ? 'udp6' : 'udp4')
udp.on('message', (_, { address, port }) => udp.send(own(address), port, address)).bind(port, address)`

/** Prints what a TCP server tells, or the code of the error. @param address argument 1 @param port argument 2 */
const ASK = `
const [, address, port] = process.argv
const socket = require('node:net').connect(port, address)
socket.on('data', (text) => console.log(String(text)))
socket.on('error', ({ code }) => console.log(code))
socket.setTimeout(20_000, () => socket.destroy(Object.assign(new Error(), { code: 'no answer' })))`

/** Prints what a UDP server tells, or the code of the error. @param address argument 1 @param port argument 2 @param own port argument 3 */
const ASK_UDP = `
const [, address, port, own] = process.argv
const socket = require('node:dgram').createSocket('udp4')
const end = (text) => { console.log(text); process.exit() }
socket.on('message', (text) => end(String(text))).on('error', ({ code }) => end(code))
socket.bind(Number(own), () => socket.connect(port, address, () => {
  const ask = () => socket.send('?')
  setInterval(ask, 100)
  ask()
}))`

interface Network extends HostBetween {
  /** Starts docker-publish daemon on the host. @param before a command that becomes it */
  readonly startDaemon: (...before: string[]) => Promise<TestDaemon>
  /** What a shell on the host writes. */
  readonly read: (script: string) => Promise<string>
  /** Our rules on the host. */
  readonly ownRules: () => Promise<string[]>
}

/** The processes that end the translations when the daemon ends. */
function guardsOf({ running }: TestDaemon): number[] {
  return processIds().filter(
    (pid) =>
      processParent(pid) === running.pid && processCommand(pid)?.includes('docker-publish-guard'),
  )
}

/** The processes that change the rules of a host. They may outlive their daemon. */
function rulesProcesses(host: Namespace): number[] {
  const network = (pid: number): string => readlinkSync(`/proc/${pid}/ns/net`)
  const isOne = (pid: number): boolean =>
    /docker-publish-guard|nft|iptables/.test(processCommand(pid)?.join(' ') ?? '') &&
    network(pid) === network(host.pid)
  return processIds().filter((pid) => {
    try {
      return isOne(pid)
    } catch {
      // It has ended.
      return false
    }
  })
}

/** The host forwards nothing unless a rule allows it. */
async function startNetwork(t: Test): Promise<Network> {
  const { client, host, container } = await startHostBetween(t)
  await host.sh(`
    ip addr add ${HOST}/24 dev c0; ip addr add ${HOST6}/64 dev c0
    ip addr add ${HOST_INSIDE}/24 dev b0; ip addr add ${HOST_INSIDE6}/64 dev b0
    echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    iptables -P FORWARD DROP; ip6tables -P FORWARD DROP`)
  await client.sh(`ip addr add ${CLIENT}/24 dev c1; ip addr add ${CLIENT6}/64 dev c1`)
  await container.sh(`
    ip addr add ${CONTAINER}/24 dev b1; ip addr add ${CONTAINER6}/64 dev b1
    ip route add default via ${HOST_INSIDE}; ip -6 route add default via ${HOST_INSIDE6}`)
  for (const address of [CONTAINER, CONTAINER6]) {
    container.node(TELL, address, '80').catch(() => undefined)
  }
  await container.untilListening(80)
  await container.untilUdpBound(80)
  const enter = ['nsenter', '--net', `--target=${host.pid}`, '--']
  const daemons: TestDaemon[] = []
  const read = async (script: string): Promise<string> =>
    (await execa('nsenter', [...enter.slice(1), 'sh', '-ec', script])).stdout
  return {
    ...{ client, host, container, read },
    startDaemon: async (...before) => {
      const daemon = await startDaemon(t, { through: [...enter, ...before] })
      daemons.push(daemon)
      // A command of a test's own folder must not write there while it is removed.
      t.teardown(async () => {
        for (const each of daemons) {
          await each.end('SIGKILL')
          leftovers(each.folder).forEach(kill)
        }
        await until(() => rulesProcesses(host).length === 0)
      })
      return daemon
    },
    ownRules: async () => {
      const rules = await read('nft list tables; iptables -S; ip6tables -S')
      return rules.split('\n').filter((line) => /docker-publish/i.test(line))
    },
  }
}

t.test('the kernel translates for clients on other hosts', { skip }, async (t) => {
  const { client, host, container, startDaemon, ownRules } = await startNetwork(t)
  const daemon = await startDaemon()
  const ask = (from: Namespace, address: string, port = 8080): Promise<string> =>
    from.node(ASK, address, String(port))
  const askUdp = (from: Namespace, ownPort: number): Promise<string> =>
    from.node(ASK_UDP, HOST, '8080', String(ownPort))
  const add = (...args: string[]) => daemon.cli('add', '--via', 'nat', '--name', 'web', ...args)

  t.test('the container sees their address, over TCP and UDP', async (t) => {
    const ports = ['-p', '8080:80', '-p', '8080:80/udp']
    t.match(await add(...ports, CONTAINER), { code: 0, stderr: '' })
    t.equal(await ask(client, HOST), CLIENT)
    t.equal(await askUdp(client, 4000), CLIENT)
    t.match((await daemon.cli('ls')).stdout, / up, via nat /)
    const { via, ports: views } = await daemon.client.get('web')
    t.equal(via, 'nat')
    const shown = views.map((view) => `${view.hostIp} ${view.protocol} ${view.via}`)
    t.strictSame(shown, [...['0.0.0.0 tcp nat', ':: tcp proxy', '0.0.0.0 udp nat', ':: udp proxy']])
  })

  t.test('a proxy serves the others', async (t) => {
    t.equal(await ask(host, '127.0.0.1'), HOST_INSIDE, 'loopback')
    t.equal(await ask(host, HOST), HOST_INSIDE, 'the host itself')
    t.equal(await ask(container, HOST), HOST_INSIDE, 'a container to its own port')
    t.equal(await ask(client, HOST6), HOST_INSIDE, 'IPv6 to a container with IPv4')
  })

  t.test('the port is held, so a conflict names the publication', async (t) => {
    const { code, stderr } = await daemon.cli('add', '-p', '8080:80', CONTAINER)
    t.equal(code, 125)
    t.match(stderr, /held by +the publication web /)
  })

  t.test('rules that a reload of the firewall has removed come back', async (t) => {
    const before = await ownRules()
    for (const damage of ['nft flush ruleset', 'iptables -F FORWARD', 'iptables -F']) {
      await host.sh(`${damage}; iptables -P FORWARD DROP`)
      await until(async () => (await ownRules()).join() === before.join())
      await until(async () => (await ask(client, HOST)) === CLIENT)
    }
    t.pass()
  })

  t.test("a firewall that drops stays the user's", async (t) => {
    await host.sh('iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER')
    await host.sh(`iptables -I DOCKER-USER -s ${CLIENT} -p tcp -j REJECT`)
    await until(async () => (await ownRules()).some((rule) => rule.startsWith('-A DOCKER-USER -j')))
    t.equal(await ask(client, HOST), 'ECONNREFUSED')
    await host.sh(`iptables -D DOCKER-USER -s ${CLIENT} -p tcp -j REJECT`)
    t.equal(await ask(client, HOST), CLIENT)
    await host.sh(`
      iptables -F FORWARD; iptables -F DOCKER-USER; iptables -X DOCKER-USER`)
    await until(async () => (await ask(client, HOST)) === CLIENT)
  })

  t.test('rm leaves no trace, also after kill -9', async (t) => {
    t.equal(await askUdp(client, 4000), CLIENT)
    const [guard = 0] = guardsOf(daemon)
    kill(guard)
    await until(() => guardsOf(daemon).some((pid) => pid !== guard))
    await daemon.end('SIGKILL')
    // Nobody would notice that the container ends.
    await until(async () => (await ask(client, HOST)) === HOST_INSIDE)
    t.ok((await ownRules()).length > 0, 'the rules that let open connections through stay')
    let next = await daemon.again('--live-restore')
    t.equal(await ask(client, HOST), CLIENT)
    t.equal(await askUdp(client, 4000), CLIENT)
    await next.end('SIGTERM')
    t.equal(await ask(client, HOST), HOST_INSIDE)
    next = await daemon.again()
    t.equal(await ask(client, HOST), CLIENT)
    t.match((await next.cli('ls')).stdout, / up, via nat /)
    t.match(await next.cli('rm', 'web'), { code: 0 })
    t.strictSame(await ownRules(), [])
    t.equal(await ask(client, HOST), 'ECONNREFUSED')
    t.equal(await askUdp(client, 4000), 'ECONNREFUSED', 'a known flow of UDP ends as well')

    t.match(await next.cli('add', '-p', '8080:80/udp', '--name', 'web', CONTAINER), { code: 0 })
    t.equal(await askUdp(client, 4000), HOST_INSIDE, 'by a proxy')
    t.match(await next.cli('rm', 'web'), { code: 0 })
    t.match(
      await next.cli('add', '-p', '8080:80/udp', '--via', 'nat', '--name', 'web', CONTAINER),
      { code: 0 },
    )
    t.equal(await askUdp(client, 4000), CLIENT, 'a flow that the proxy served is translated now')

    await next.end('SIGTERM')
    t.strictSame(await ownRules(), [], 'the end of the daemon leaves no trace either')
  })
})

t.test('IPv6 is translated to a container with IPv6', { skip }, async (t) => {
  const { client, startDaemon, ownRules } = await startNetwork(t)
  const daemon = await startDaemon()
  t.match(await daemon.cli('add', '-p', '8080:80', '--via', 'nat', CONTAINER6), { code: 0 })
  t.equal(await client.node(ASK, HOST6, '8080'), CLIENT6)
  t.equal(await client.node(ASK, HOST, '8080'), HOST_INSIDE6, 'IPv4 goes through the proxy')
  t.match(await daemon.cli('add', '-p', `[${HOST6}]:8081:80`, '--via', 'nat', CONTAINER6), {
    code: 0,
  })
  t.equal(await client.node(ASK, HOST6, '8081'), CLIENT6)
  t.match(await daemon.cli('rm', '--all'), { code: 0 })
  t.strictSame(await ownRules(), [])
})

t.test(
  'clients that stay with the docker-proxy of a UDP port are reported',
  { skip },
  async (t) => {
    const { client, host, startDaemon } = await startNetwork(t)
    const engine = await startFakeEngine(t)
    const daemon = await startDaemon('env', `DOCKER_HOST=${engine.host}`)
    let log = ''
    daemon.running.child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()))
    // With the first such rule, the kernel begins to track connections.
    await host.sh('iptables -t nat -A POSTROUTING -s 192.0.2.1 -j MASQUERADE')
    // The flow begins while no rule leads to the container.
    t.equal(await client.node(ASK_UDP, HOST, '5353', '4000'), 'ECONNREFUSED')
    const dnat = `-p udp --dport 5353 -j DNAT --to-destination ${CONTAINER}:80`
    await host.sh(`iptables -t nat -A PREROUTING ${dnat}`)
    const reply = inspectReply('a'.repeat(64), 'dns', CONTAINER)
    engine.containers.set(reply.Id, {
      ...reply,
      NetworkSettings: {
        ...reply.NetworkSettings,
        Ports: { '80/udp': [{ HostIp: '0.0.0.0', HostPort: '5353' }] },
      },
    })
    engine.report('container', 'start', reply.Id)
    await until(() => log.includes('stay with docker-proxy'))
    t.match(
      log,
      /Clients of port 5353\/udp stay with docker-proxy: 10\.99\.0\.2; .*conntrack -D -p udp --orig-port-dst 5353/,
    )
  },
)

t.test(
  'without a daemon, the kernel forgets connections to an address that its container has lost',
  { skip },
  async (t) => {
    const { client, container, startDaemon } = await startNetwork(t)
    const daemon = await startDaemon()
    const spec = `${HOST}:8080:80/udp`
    t.match(await daemon.cli('add', '-p', spec, '--via', 'nat', CONTAINER), { code: 0 })
    const askUdp = (): Promise<string> => client.node(ASK_UDP, HOST, '8080', '4000')
    t.equal(await askUdp(), CLIENT)
    const process = identify(container.pid)
    await orderBackends(daemon.statusSockets()[0] ?? '', {
      backends: [{ ip: CONTAINER, ...(process && { process }) }],
      holdMs: 0,
    })
    await daemon.end('SIGKILL')
    t.equal(await askUdp(), CLIENT, 'a known flow goes on as it began')
    await container.sh(`ip addr del ${CONTAINER}/24 dev b1`)
    await container.sh(
      `ip addr add ${CONTAINER}/24 dev b1; ip route add default via ${HOST_INSIDE}`,
    )
    await until(async () => (await askUdp()) === HOST_INSIDE)
    t.pass('it begins again, and the proxy serves it')
  },
)

t.test(
  'without a daemon and its guard, the rules to an address that its container has lost go',
  { skip },
  async (t) => {
    const { client, host, container, startDaemon, read } = await startNetwork(t)
    // The proxies keep the right to change rules.
    const daemon = await startDaemon('env', 'DOCKER_PROXY_USER=54321:54322')
    const add = (name: string, ...ports: string[]) =>
      daemon.cli('add', '--via', 'nat', '--name', name, ...ports, CONTAINER)
    const many = ['-p', `${HOST}:8080-8089:80-89`]
    t.match(await add('web', ...many, '--isolation', 'process'), { code: 0 })
    t.match(await add('other', '-p', `${HOST}:9090:80`), { code: 0 })
    const process = identify(container.pid)
    const list = { backends: [{ ip: CONTAINER, ...(process && { process }) }], holdMs: 0 }
    const web = (await daemon.client.get('web')).ports.map(({ pid }) => pid)
    const sockets = daemon.statusSockets()
    for (const socket of sockets) await orderBackends(socket, list)
    const ask = (port: number): Promise<string> => client.node(ASK, HOST, String(port))
    t.strictSame([await ask(8080), await ask(9090)], [CLIENT, CLIENT])

    t.equal(new Set(web).size, 10, 'each of these processes withdraws the rules')
    const guards = guardsOf(daemon)
    guards.forEach(kill)
    const killed = daemon.end('SIGKILL')
    guards.forEach(kill)
    guardsOf(daemon).forEach(kill)
    await killed
    const translations = () => read('nft list ruleset | grep "dnat ip" || true')
    t.match(await translations(), CONTAINER, 'the rules have stayed')
    t.equal(await ask(8080), CLIENT)
    await container.sh(`ip addr del ${CONTAINER}/24 dev b1`)
    // An engine would remove the interface. Another user than root sees that, and no more.
    await host.sh('ip link set b0 mtu 1400')
    await until(async () => (await translations()) === '')
    await container.sh(
      `ip addr add ${CONTAINER}/24 dev b1; ip route add default via ${HOST_INSIDE}`,
    )
    await host.sh('ip link set b0 mtu 1500')
    await until(async () => (await ask(8080)) === HOST_INSIDE)
    t.equal(await ask(9090), HOST_INSIDE, 'proxies serve them')
    await daemon.again('--live-restore')
    t.strictSame([await ask(8080), await ask(9090)], [CLIENT, CLIENT])
  },
)

t.test('many ports, each on one address and another container port', { skip }, async (t) => {
  const { client, startDaemon } = await startNetwork(t)
  const daemon = await startDaemon()
  const args = ['-p', `${HOST}:8000-8999:1-1000`, '--via', 'nat', CONTAINER]
  t.match(await daemon.cli('add', ...args), { code: 0 })
  t.equal(await client.node(ASK, HOST, '8079'), CLIENT, 'port 80 of the container')
  t.equal(await client.node(ASK, HOST, '8080'), 'ECONNREFUSED', 'port 81: nobody listens')
})

t.test('a firewall that fails: nothing is translated that was withdrawn', { skip }, async (t) => {
  const { client, host, startDaemon, ownRules } = await startNetwork(t)
  const folder = t.testdir({})
  const broken = join(folder, 'broken')
  for (const name of ['iptables', 'iptables-restore', 'ip6tables']) {
    const script = `#!/bin/sh\n[ -e ${broken} ] && { echo locked >&2; exit 4; }\nexec /usr/sbin/${name} "$@"\n`
    writeFileSync(join(folder, name), script, { mode: 0o755 })
  }
  const path = `PATH=${folder}:${process.env['PATH'] ?? ''}`
  const daemon = await startDaemon('env', path)
  const add = (port: number) =>
    daemon.cli('add', '-p', `${HOST}:${port}:80`, '--via', 'nat', '--name', `p${port}`, CONTAINER)
  t.match(await add(8080), { code: 0 })
  t.equal(await client.node(ASK, HOST, '8080'), CLIENT)
  writeFileSync(broken, '')
  t.match(await add(8081), {
    code: 125,
    stderr: 'nat does not work here: iptables failed: locked; publish via proxy instead\n',
  })
  t.equal(await client.node(ASK, HOST, '8081'), 'ECONNREFUSED', 'nothing half-done stays')
  t.match(await daemon.cli('rm', 'p8080'), { code: 0 })
  t.equal(await client.node(ASK, HOST, '8080'), 'ECONNREFUSED')
  t.ok((await ownRules()).length > 0)
  rmSync(broken)
  await until(async () => (await ownRules()).length === 0)

  // Without its state, the next daemon knows of rules alone.
  t.match(await add(8082), { code: 0 })
  await daemon.end('SIGKILL')
  rmSync(join(daemon.folder, 'data/state.json'))
  await host.sh(`iptables -S | grep -q DOCKER-PUBLISH`)
  await daemon.again()
  t.strictSame(await ownRules(), [])
})

t.test('many publications of a container that ends, and returns', { skip }, async (t) => {
  const { client, read, startDaemon } = await startNetwork(t)
  const engine = await startFakeEngine(t)
  const reply = inspectReply('a'.repeat(64), 'web', CONTAINER)
  const report = (isRunning: boolean): void => {
    engine.containers.set(reply.Id, { ...reply, State: { Running: isRunning, Pid: 0 } })
    engine.report('container', isRunning ? 'start' : 'die', reply.Id)
  }
  report(true)
  const daemon = await startDaemon('env', `DOCKER_HOST=${engine.host}`)
  const ports = Array.from({ length: 30 }, (_, i) => 8080 + 2 * i)
  await Promise.all(
    ports.map((port) =>
      daemon.client.add({ container: 'web', ports: [`${HOST}:${port}:80`], via: 'nat' }),
    ),
  )
  const isTranslated = async (port: number): Promise<boolean> =>
    (await client.node(ASK, HOST, `${port}`)) === CLIENT
  for (const port of ports.slice(0, 3)) t.ok(await isTranslated(port))
  for (let i = 0; i < 3; i++) {
    report(false)
    await until(async () => !(await read('nft list ruleset')).includes(`${CONTAINER} . 80`))
    t.notOk(await isTranslated(8080))
    report(true)
    await until(() => isTranslated(8080))
  }
  for (const port of ports.slice(-2)) t.ok(await isTranslated(port))
})

t.test(
  'a container that ends is not translated to, whatever another change waits for',
  { skip },
  async (t) => {
    const { client, read, startDaemon } = await startNetwork(t)
    const folder = t.testdir({ 'rules.txt': '' })
    const [waits, rules] = [join(folder, 'waits'), join(folder, 'rules.txt')]
    // While the file `hold-NAME` is there, a change by the program waits. It notes the rules after it.
    const script = (name: string): string => `#!/bin/sh
case "$*" in *-f*|*--noflush*) ;; *) exec /usr/sbin/${name} "$@" ;; esac
while [ -e ${folder}/hold-${name} ]; do touch ${waits}; sleep .02; done
/usr/sbin/${name} "$@"
code=$?
/usr/sbin/nft list ruleset >>${rules} 2>&1
exit $code
`
    for (const name of ['nft', 'iptables-restore']) {
      writeFileSync(join(folder, name), script(name), { mode: 0o755 })
    }
    const engine = await startFakeEngine(t)
    const reply = inspectReply('a'.repeat(64), 'web', CONTAINER)
    const startContainer = (): void => {
      engine.containers.set(reply.Id, reply)
      engine.report('container', 'start', reply.Id)
    }
    startContainer()
    const path = `PATH=${folder}:${process.env['PATH'] ?? ''}`
    const daemon = await startDaemon('env', path, `DOCKER_HOST=${engine.host}`)
    const add = (port: number, target: string) =>
      daemon.cli('add', '-p', `${HOST}:${port}:80`, '--via', 'nat', '--name', `p${port}`, target)
    const isTranslated = async (): Promise<boolean> =>
      (await client.node(ASK, HOST, '8080')) === CLIENT
    t.match(await add(8080, 'web'), { code: 0, stderr: '' })
    t.ok(await isTranslated())

    for (const [i, name] of ['iptables-restore', 'nft'].entries()) {
      writeFileSync(join(folder, `hold-${name}`), '')
      rmSync(waits, { force: true })
      const other = add(8081 + i, NO_CONTAINER)
      await until(() => existsSync(waits))
      writeFileSync(rules, '')
      engine.containers.set(reply.Id, { ...reply, State: { Running: false, Pid: 0 } })
      engine.report('container', 'die', reply.Id)
      await until(async () => !(await read('nft list ruleset')).includes(`${CONTAINER} . 80`))
      t.equal(await client.node(ASK, HOST, '8080'), '', `the proxy disconnects, and ${name} waits`)
      rmSync(join(folder, `hold-${name}`))
      t.match(await other, { code: 0, stderr: '' })
      t.notOk(readFileSync(rules, 'utf8').includes(`${CONTAINER} . 80`), 'not after any change')
      t.ok(readFileSync(rules, 'utf8').includes(`${NO_CONTAINER} . 80`))
      startContainer()
      await until(isTranslated)
    }
  },
)

t.test('what the kernel can not translate is refused in one sentence', { skip }, async (t) => {
  const { host, startDaemon, ownRules } = await startNetwork(t)
  const daemon = await startDaemon()
  await host.sh(`ip route add default via ${CLIENT}`)
  const refusal = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await daemon.cli('add', '--via', 'nat', ...args)
    return `${String(code)} ${stderr.trim()}`
  }
  const refused = (why: string): string =>
    `125 nat does not work here: ${why}; publish via proxy instead`
  t.equal(
    await refusal('-p', '127.0.0.1:8080:80', CONTAINER),
    refused('clients of 127.0.0.1:8080/tcp are on this host, and a proxy serves them'),
  )
  t.equal(
    await refusal('-p', '8080:80', HOST_INSIDE),
    refused(`${HOST_INSIDE} is an address of this host, and not of a container`),
  )
  t.equal(
    await refusal('-p', '8080:80', CLIENT),
    refused(
      `${CLIENT} is not in a network of containers on this host, so its replies would not come back`,
    ),
  )
  await host.sh('ip route del default')
  t.equal(
    await refusal('-p', `${HOST}:8080:80`, CONTAINER6),
    refused(
      `the kernel does not translate between IPv4 and IPv6, and the container has the address ${CONTAINER6}`,
    ),
  )
  await host.sh('nft add table ip docker-bridges')
  t.equal(
    await refusal('-p', '8080:80', CONTAINER),
    refused(
      "the Docker Engine's nftables backend drops connections that it has not published itself",
    ),
  )
  await host.sh('nft delete table ip docker-bridges; echo 0 >/proc/sys/net/ipv4/ip_forward')
  t.equal(
    await refusal('-p', '8080:80', CONTAINER),
    refused('this host forwards no packets: "sysctl net.ipv4.ip_forward=1" changes that'),
  )
  t.strictSame(await ownRules(), [])
  t.strictSame(await daemon.client.list(), [])

  const unit = /```ini\n(# \/etc\/systemd\/system\/docker-publish\.service[^]*?)```/.exec(
    readFileSync('docs/docker-publish.md', 'utf8'),
  )?.[1]
  const sandboxed = unit?.replace(/^CapabilityBoundingSet=/m, '$&CAP_NET_ADMIN ')
  await host.sh('echo 1 >/proc/sys/net/ipv4/ip_forward')
  const inSandbox = await startDaemon(...inSandboxOf(sandboxed ?? ''))
  t.match(
    await inSandbox.cli('add', '-p', '8082:80', '--via', 'nat', CONTAINER),
    { code: 0 },
    'the sandbox of the unit, with one more capability',
  )

  const weak = await startDaemon('setpriv', '--bounding-set=-net_admin', '--')
  t.match(await weak.cli('add', '-p', '8081:80', '--via', 'nat', CONTAINER), {
    code: 125,
    stderr: /^nat does not work here: nft failed: .*not permitted.*; publish via proxy instead\n$/,
  })
})
