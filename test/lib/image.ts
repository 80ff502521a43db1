import { cp, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { execa, execaSync } from 'execa'
import type { Test } from 'tap'
import { makeDebianRoot } from './debian-root.js'
import type { Dockerd } from './dockerd.js'

const BASE = 'node-base:local'
const IMAGE = 'docker-proxy:local'
const CA_CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'

/**
 * Builds the image, and forwards to a container through it.
 * The base image is made from Debian's packages and this machine's Node, so no registry is needed.
 */
export async function testImage(
  t: Test,
  dockerd: Dockerd,
  backend: { ip: string; port: number },
  saysHello: (port: number) => Promise<boolean>,
): Promise<void> {
  const { docker } = dockerd
  await makeBase(dockerd)
  const commit = 'abc1234'
  const args = ['--build-arg', `BASE=${BASE}`, '--build-arg', `BUILD_COMMIT=${commit}`]
  await docker('build', '--network', 'host', ...args, '-t', IMAGE, '.')

  const version = await docker('run', '--rm', IMAGE, '-version')
  t.match(version, new RegExp(`^docker-proxy \\(commit ${commit}\\) version .*\\nengine: native$`))
  const usage = await docker('run', '--rm', IMAGE).catch((err: unknown) => err)
  t.equal(usage, '', 'help goes to stderr, and is no failure')

  const size = Number(await docker('image', 'inspect', '-f', '{{.Size}}', IMAGE))
  t.comment(`the image has ${Math.round(size / 1e6)} MB`)
  t.ok(size < 200e6)

  // Docker lets unprivileged users bind privileged ports in containers.
  const flags = `-host-port 80 -container-ip ${backend.ip} -container-port ${backend.port}`
  await docker('run', '-d', '--name', 'proxy', '-p', '80', IMAGE, ...flags.split(' '))
  const port = Number((await docker('port', 'proxy', '80/tcp')).split('\n')[0]?.split(':').at(-1))
  t.ok(await saysHello(port))
  const top = await docker('top', 'proxy', '-eo', 'pid,ppid,uid,args')
  const init = /^(\d+) +\d+ +65532 +\/usr\/bin\/docker-init -- /m.exec(top)
  const proxy = /^\d+ +(\d+) +65532 +\/opt\/docker-proxy\/dist\/docker-proxy -host-port 80 /m.exec(
    top,
  )
  t.ok(init)
  t.equal(proxy?.[1], init?.[1], 'tini starts the proxy')
  await docker('stop', '-t', '10', 'proxy')
  t.equal(await docker('inspect', '-f', '{{.State.ExitCode}}', 'proxy'), '0', 'SIGTERM arrives')
}

async function makeBase(dockerd: Dockerd): Promise<void> {
  const root = dockerd.folder('base')
  await makeDebianRoot(root)
  const node = await realpath(process.execPath)
  await cp(node, join(root, 'usr/bin/node'))
  const npmCommand = execaSync('which', ['npm']).stdout.trim()
  const npm = dirname(dirname(await realpath(npmCommand)))
  await cp(npm, join(root, 'usr/lib/node_modules/npm'), { recursive: true })
  await execa('ln', ['-sf', '../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/bin/npm')])
  await cp(CA_CERTIFICATES, join(root, CA_CERTIFICATES))
  await cp('/etc/apt', join(root, 'etc/apt'), { recursive: true })
  await dockerd.importImage(root, BASE, `ENV NODE_EXTRA_CA_CERTS=${CA_CERTIFICATES}`)
}
