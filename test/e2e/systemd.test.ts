import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { execa } from 'execa'
import t from 'tap'
import { processCommand, processIds } from '../../src/linux/proc/process.js'
import { machinesDockerd, makeWebImage } from '../lib/dockerd.js'
import { publish } from '../lib/publish.js'
import { dial, readAll } from '../lib/sockets.js'
import { isTestMachine } from '../lib/test-machine.js'
import { until } from '../lib/until.js'

/*
 * Tests the installation under a real systemd and dockerd. It changes the machine's settings and stops its services: only for
 * a machine of its own, as `npm run test:systemd` makes one.
 */

const UNIT = 'docker-proxyd.service'
const PORT = 8080
const PAGE = /hello from a container/

const systemctl = async (...args: string[]): Promise<string> =>
  (await execa('systemctl', args)).stdout.trim()
const property = (name: string, unit = UNIT): Promise<string> =>
  systemctl('show', '--value', '--property', name, unit)
const mainPid = async (): Promise<number> => Number(await property('MainPID'))

/** Command lines of all docker-proxies. */
const proxies = (): string[] =>
  processIds()
    .map((pid) => processCommand(pid)?.join(' ') ?? '')
    .filter((command) => /docker-proxy.* -host-port /.test(command))

t.test(
  'docker-proxyd as a service, and dockerd with it',
  {
    skip: !isTestMachine && 'it would change the services of this machine: npm run test:systemd',
  },
  async (t) => {
    const dockerd = machinesDockerd(t)
    const { docker } = dockerd
    const page = async (port = PORT): Promise<string> => {
      const socket = await dial(t, port)
      socket.end('GET / HTTP/1.0\r\n\r\n')
      return readAll(socket)
    }
    /** Waits until the service is up with another main process. */
    const untilReplaced = async (before: number): Promise<number> => {
      await until(async () => ![before, 0].includes(await mainPid()))
      await until(async () => (await property('ActiveState')) === 'active')
      return mainPid()
    }

    const installed = await publish(t, ['install-userland-proxy'])
    t.equal(installed.code, 0)
    // As the message recommends.
    const next = [...installed.stdout.matchAll(/^ {2}systemctl ([^#\n]*)/gm)].map(([, args = '']) =>
      args.trim().split(/ +/),
    )
    t.equal(next.length, 3)
    for (const args of next) await systemctl(...args)
    t.equal(await property('ActiveState'), 'active', 'it is ready when systemctl comes back')
    for (const relation of ['After', 'Wants']) {
      t.ok((await property(relation, 'docker.service')).split(' ').includes(UNIT), relation)
    }
    t.equal(await property('LimitNOFILE'), '1048576')

    await makeWebImage(dockerd, 'web', Buffer.alloc(0))
    const command = ['web', 'httpd', '-f', '-h', '/www']
    await docker('run', '-d', '--restart', 'always', '-p', `${PORT}:80`, ...command)
    t.match(await page(), PAGE)
    const launcher = resolve('dist/docker-proxy')
    const ours = `/bin/sh ${launcher} -proto tcp -host-ip `
    t.not(proxies().length, 0)
    t.ok(
      proxies().every((command) => command.startsWith(ours)),
      'its proxies are launchers',
    )

    const open = await dial(t, PORT)
    const first = await mainPid()
    await systemctl('reload', UNIT)
    const second = await untilReplaced(first)
    t.match(await page(), PAGE, 'after a reload its successor serves the port')
    open.end('GET / HTTP/1.0\r\n\r\n')
    t.match(await readAll(open), PAGE, 'and what was open goes on')
    await until(() => !existsSync(`/proc/${first}`))
    t.equal(await property('NRestarts'), '0', 'systemd has followed it')

    const heard = (): Promise<string> => property('WatchdogTimestampMonotonic')
    const before = await heard()
    await until(async () => (await heard()) !== before)
    t.pass('it tells systemd that it is not hung, also as a successor')

    process.kill(second, 'SIGKILL')
    await untilReplaced(second)
    await until(async () => PAGE.test(await page().catch(() => '')))
    t.equal(await property('NRestarts'), '1', 'killed, it is started again, also as a successor')

    const hung = await mainPid()
    process.kill(hung, 'SIGSTOP')
    await untilReplaced(hung)
    await until(async () => PAGE.test(await page().catch(() => '')))
    t.equal(await property('NRestarts'), '2', 'hung, it is started again')

    await systemctl('restart', UNIT)
    t.match(await page(), PAGE, 'restarted, it serves the ports that were there')
    await systemctl('restart', 'docker')
    await until(async () => PAGE.test(await page().catch(() => '')))
    t.pass('dockerd restarted')

    await systemctl('stop', UNIT)
    await docker('run', '-d', '--name', 'alone', '-p', `${PORT + 1}:80`, ...command)
    t.match(await page(PORT + 1), PAGE, 'where it is stopped, a new port has a process of its own')
    await systemctl('start', UNIT)
    t.match(await page(), PAGE, 'the others wait for it')

    const ids = (await docker('ps', '-q')).split('\n')
    await docker('rm', '-f', ...ids)
    t.strictSame(proxies(), [], 'no docker-proxy is left')

    const uninstalled = await publish(t, ['uninstall-userland-proxy'])
    t.equal(uninstalled.code, 0)
    await systemctl('daemon-reload')
    await systemctl('restart', 'docker')
    await systemctl('stop', UNIT)
    await docker('run', '-d', '-p', `${PORT}:80`, ...command)
    t.match(await page(), PAGE)
    t.notMatch(proxies().join(), launcher, "Docker's own again")
    t.notOk(existsSync('/etc/systemd/system/docker.service.wants/docker-proxyd.service'))

    const { stdout: log } = await execa('journalctl', [
      '--unit',
      UNIT,
      '--output',
      'cat',
      '--no-pager',
    ])
    t.comment(log)
    t.match(log, 'Replaced: ends with the last of its connections')
    t.notMatch(log, /"level":[456]0/, 'no warning and no error')
    t.match(readFileSync('/proc/1/comm', 'utf8'), 'systemd')
  },
)
