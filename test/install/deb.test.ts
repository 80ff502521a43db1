import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { execa } from 'execa'
import t from 'tap'
import { processCommand, processIds } from '../../src/linux/proc/process.js'
import { makeDebianRoot } from '../lib/debian-root.js'
import { IMAGE } from '../lib/engine-namespace.js'
import { freeRow } from '../lib/free-row.js'
import { missingForDockerd, startOwnDockerd } from '../lib/own-dockerd.js'
import { missing, notRoot } from '../lib/program.js'
import { exchange, startEcho } from '../lib/sockets.js'
import { until } from '../lib/until.js'

/* The Debian package and its programs, on hosts without a Node. They are built by `npm run test:deb`. */

const notBuilt = process.env['TEST_DEB'] === undefined && 'it needs the package: npm run test:deb'
const STANDALONE = resolve('build/standalone')

t.test(
  'the package in a clean Debian',
  { skip: notBuilt || notRoot('for chroot') || missing('/usr/sbin/debootstrap', 'debootstrap') },
  async (t) => {
    const root = mkdtempSync(join(tmpdir(), 'debian-'))
    t.teardown(() => rmSync(root, { recursive: true, force: true }))
    await makeDebianRoot(root)
    const at = (path: string): string => join(root, path)
    /** Runs a script in the Debian, with a /proc that ends with it. */
    const sh = async (script: string): Promise<string> => {
      const inside = `mount -t proc proc "$0/proc"; exec chroot "$0" /bin/sh -ec "$1"`
      const args = ['--mount', 'sh', '-ec', inside, root, script]
      return (await execa('unshare', args, { env: { LC_ALL: 'C' } })).stdout
    }
    const files = (): Promise<string> =>
      sh(
        'find / -xdev -path /var/lib/dpkg -prune -o -path /proc -prune -o -path /var/log -prune -o -print | sort',
      )
    const before = await files()
    t.notMatch(before, /\/node$/m, 'it has no Node')
    const [first = ''] = readdirSync('build').filter((name) => name.includes('_0.1.0_'))
    await execa('cp', [join('build', first), at('/tmp/first.deb')])
    await sh('dpkg -i /tmp/first.deb')

    t.test('everything is where Debian expects it', async (t) => {
      t.match(await sh('docker-publish version'), /^docker-publish \(commit \w+\) version/)
      for (const path of [
        ...[
          '/usr/share/man/man1/docker-publish.1.gz',
          '/usr/share/man/man1/docker-publish-add.1.gz',
        ],
        ...['/usr/share/man/man8/docker-proxy.8.gz', '/usr/share/man/man8/docker-proxyd.8.gz'],
        '/usr/share/bash-completion/completions/docker-publish',
        '/usr/share/zsh/vendor-completions/_docker-publish',
        '/usr/share/doc/docker-proxy/copyright',
      ]) {
        t.ok(existsSync(at(path)), path)
      }
      const page = await sh('gzip -dc /usr/share/man/man1/docker-publish-add.1.gz')
      t.match(page, /^\\fB\\-\\-when\\-stopped\\fR$/m)
      const completion = '/usr/share/bash-completion/completions/docker-publish'
      t.equal(await sh(`bash -n ${completion} && echo good`), 'good')
      const units = readdirSync(at('/usr/lib/systemd/system'))
      for (const unit of [
        'docker-proxyd.service',
        'docker-publish.service',
        'docker-publish.socket',
      ]) {
        t.ok(units.includes(unit), unit)
        const path = at(`/usr/lib/systemd/system/${unit}`)
        t.notMatch(readFileSync(path, 'utf8'), /build\/standalone|^Environment=.*undefined/m)
      }
    })

    t.test('it works, and an upgrade keeps the settings', async (t) => {
      const echo = await startEcho(t)
      const port = freeRow(1)
      const script = `
        docker-publish daemon 2>/tmp/log &
        until docker-publish ls >/dev/null 2>&1; do kill -0 $! || { cat /tmp/log; exit 1; }; done
        docker-publish add -p 127.0.0.1:${port}:${echo.port} --name web 127.0.0.1 >/dev/null
        echo published; read -r _ </tmp/wait
        docker-publish rm web; kill $!; wait $!`
      await execa('mkfifo', [at('/tmp/wait')])
      const running = sh(script)
      await until(async () => (await exchange(t, port, 'x').catch(() => '')) === 'x')
      writeFileSync(at('/tmp/wait'), 'end\n')
      t.match(await running, /^published\nweb$/)

      writeFileSync(at('/etc/default/docker-publish'), 'DOCKER_PROXY_LOG_LEVEL=debug\n')
      await execa('node', ['scripts/build-deb.js'], { env: { DEB_VERSION: '99.0' } })
      const [next = ''] = readdirSync('build').filter((name) => name.includes('_99.0_'))
      await execa('mv', [join('build', next), at('/tmp/next.deb')])
      await sh('dpkg -i /tmp/next.deb')
      t.equal(await sh("dpkg-query -W -f '${Version}' docker-proxy"), '99.0')
      t.match(readFileSync(at('/etc/default/docker-publish'), 'utf8'), 'debug')
    })

    t.test(
      'removed, dockerd has its own docker-proxy again; purged, nothing is left',
      async (t) => {
        await sh('mkdir -p /etc/docker; echo \'{ "debug": true }\' >/etc/docker/daemon.json')
        await sh('docker-publish install-userland-proxy')
        t.match(
          readFileSync(at('/etc/docker/daemon.json'), 'utf8'),
          '/usr/lib/docker-proxy/docker-proxy',
        )
        await sh('dpkg -r docker-proxy')
        t.same(JSON.parse(readFileSync(at('/etc/docker/daemon.json'), 'utf8')), { debug: true })
        t.ok(existsSync(at('/etc/default/docker-publish')), 'settings stay')
        await sh('dpkg -P docker-proxy; rm -r /etc/docker /tmp/*')
        t.equal(await files(), before)
      },
    )
  },
)

t.test(
  'a real dockerd starts the standalone docker-proxy',
  { skip: notBuilt || missingForDockerd() },
  async (t) => {
    const path = join(STANDALONE, 'docker-proxy')
    // dockerd passes it on. A docker-proxyd would outlive the test.
    process.env['DOCKER_PROXY_ISOLATION'] = 'process'
    const dockerd = await startOwnDockerd(t, '--userland-proxy-path', path)
    const port = freeRow(1)
    const name = ['--name', 'web', '--hostname', 'web']
    await dockerd.docker('run', '-d', ...name, '-p', `127.0.0.1:${port}:80`, IMAGE)
    await until(async () => (await dockerd.ask(port)) === 'web')
    const isProxy = (pid: number): boolean =>
      processCommand(pid)?.[0]?.startsWith(STANDALONE) ?? false
    const programs = processIds()
      .filter(isProxy)
      .map((pid) => readlinkSync(`/proc/${pid}/exe`))
    t.same(new Set(programs), new Set([join(STANDALONE, 'node')]))
  },
)
