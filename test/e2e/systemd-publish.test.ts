import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { execa } from 'execa'
import t from 'tap'
import { machinesDockerd, makeWebImage } from '../lib/dockerd.js'
import { publish } from '../lib/publish.js'
import { dial, readAll } from '../lib/sockets.js'
import { isTestMachine } from '../lib/test-machine.js'
import { until } from '../lib/until.js'

/* The units of the Debian package, under a real systemd and with a real dockerd: `npm run test:systemd`. */

const [SOCKET, SERVICE] = ['docker-publish.socket', 'docker-publish.service'] as const
const PORT = 8090

const systemctl = async (...args: string[]): Promise<string> =>
  (await execa('systemctl', args)).stdout.trim()
const property = (name: string): Promise<string> =>
  systemctl('show', '--value', '--property', name, SERVICE)

t.test(
  'docker-publish as a service in its sandbox, started by its socket',
  { skip: !isTestMachine && 'it would change the services of this machine: npm run test:systemd' },
  async (t) => {
    const dockerd = machinesDockerd(t)
    const { docker } = dockerd
    for (const unit of [SOCKET, SERVICE]) {
      const text = readFileSync(join('packaging/systemd', unit), 'utf8')
      const program = resolve('dist/docker-publish')
      writeFileSync(
        `/etc/systemd/system/${unit}`,
        text.replaceAll('/usr/bin/docker-publish', program),
      )
    }
    await systemctl('daemon-reload')
    await systemctl('start', 'docker')
    await makeWebImage(dockerd, 'web', Buffer.alloc(0))
    const run = ['run', '-d', '--network', 'own', '--ip', '10.77.0.9']
    await docker('network', 'create', '--subnet', '10.77.0.0/24', 'own')
    const server = (text: string) => [
      'web',
      'sh',
      '-c',
      `echo ${text} >/www/index.html; exec httpd -f -h /www`,
    ]
    await docker(...run, '--name', 'first', ...server('first'))
    const answer = async (): Promise<string> => {
      try {
        const socket = await dial(t, PORT)
        socket.end('GET /index.html HTTP/1.0\r\n\r\n')
        return (await readAll(socket)).split('\r\n\r\n')[1]?.trim() ?? 'nobody'
      } catch {
        return 'nobody'
      }
    }

    await systemctl('start', SOCKET)
    t.equal(await property('ActiveState'), 'inactive')
    t.match(await publish(t, ['ls']), { code: 0, stderr: '' }, 'its first client starts it')
    t.equal(await property('ActiveState'), 'active')
    const status = readFileSync(`/proc/${await property('MainPID')}/status`, 'utf8')
    t.match(status, /^NoNewPrivs:\t1$/m)
    // CAP_DAC_OVERRIDE, DAC_READ_SEARCH, KILL, NET_BIND_SERVICE and SYS_PTRACE.
    t.match(status, /^CapBnd:\t0000000000080426$/m)

    const added = await publish(t, ['add', '-p', `127.0.0.1:${PORT}:80`, '--name', 'web', 'first'])
    t.match(added, { code: 0, stderr: '' })
    await until(async () => (await answer()) === 'first')
    await systemctl('restart', SERVICE)
    t.equal(await answer(), 'first', 'a restart interrupts nothing')
    const pidOf = async (): Promise<string> => (await publish(t, ['inspect', 'web'])).stdout
    const before = await pidOf()
    await systemctl('reload', SERVICE)
    t.not(await pidOf(), before, 'a reload replaces the proxies')
    t.equal(await answer(), 'first')

    await systemctl('stop', SOCKET, SERVICE)
    t.equal(await answer(), 'first', 'stopped, it leaves its proxies')
    await docker('network', 'disconnect', 'own', 'first')
    await docker(...run, '--name', 'second', ...server('second'))
    t.equal(await answer(), 'nobody', 'they do not follow an address to another container')
    await docker('rm', '-f', 'second')
    await docker('network', 'connect', '--ip', '10.77.0.9', 'own', 'first')
    await systemctl('start', SOCKET)
    t.match(await publish(t, ['ls']), { code: 0 })
    await until(async () => (await answer()) === 'first')

    t.match(await publish(t, ['rm', 'web']), { code: 0, stdout: 'web\n' })
    t.equal(await answer(), 'nobody')
    await systemctl('stop', SOCKET, SERVICE)
    await docker('rm', '-f', 'first')
    await docker('network', 'rm', 'own')
  },
)
