import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import t, { type Test } from 'tap'
import { IMAGE, IMAGE_COMMAND, startEngineNamespace } from '../../lib/engine-namespace.js'
import { freeRow } from '../../lib/free-row.js'
import { missing, notRoot } from '../../lib/program.js'
import { until } from '../../lib/until.js'

/* Publications that follow the containers of a real Podman, whose service has Docker's API. */

const skip =
  missing('/usr/bin/podman', 'podman') ||
  missing('/usr/sbin/runc', 'runc') ||
  missing('/bin/busybox', 'busybox-static') ||
  notRoot('for podman')

async function startPodman(t: Test) {
  const ends: (() => Promise<unknown>)[] = []
  const namespace = await startEngineNamespace(t, async () => {
    for (const end of ends) await end()
  })
  const { root, enter } = namespace
  const [command, ...before] = enter
  const options = [
    ...[`--root=${join(root, 'storage')}`, `--runroot=${join(root, 'run')}`],
    ...['--cgroup-manager=cgroupfs', '--storage-driver=vfs', '--runtime=runc'],
  ]
  const podman = async (...args: string[]): Promise<string> =>
    (await execa(command, [...before, 'podman', ...options, ...args])).stdout.trim()
  const socket = join(root, 'podman.sock')
  const service = spawn(
    command,
    [...before, 'podman', ...options, 'system', 'service', '--time=0', `unix://${socket}`],
    { stdio: 'ignore' },
  )
  const exit = once(service, 'exit')
  ends.push(
    () => podman('rm', '-f', '-t', '0', '--all').catch(() => ''),
    async () => {
      service.kill('SIGTERM')
      await exit
    },
  )
  await until(() => existsSync(socket))
  const change = `CMD ${JSON.stringify(IMAGE_COMMAND)}`
  const archive = await namespace.packImage()
  await podman('import', '--change', change, '--change', 'EXPOSE 80', archive, IMAGE)
  return { podman, namespace, host: `unix://${socket}` }
}

t.test('containers of Podman, by name and by label', { skip }, async (t) => {
  const { podman, namespace, host } = await startPodman(t)
  t.comment(await podman('--version'))
  const daemon = await namespace.startDaemon({ DOCKER_HOST: host })
  const [port, labelled] = [freeRow(1), freeRow(1)]
  const leadsTo = (wanted: number, answer: string): Promise<void> =>
    until(async () => (await namespace.ask(wanted)) === answer)
  await podman(
    ...['run', '-d', '--name', 'web_svr01', '--hostname', 'web_svr01'],
    // More than this user has can't be set, for example in a container.
    ...['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
    ...['--label', `docker-publish.ports=127.0.0.1:${labelled}:80`, IMAGE],
  )
  await leadsTo(labelled, 'web_svr01')
  const added = await daemon.cli('add', '-p', `127.0.0.1:${port}:80`, 'web_svr01')
  t.match(added, { code: 0, stdout: /follows the container web_svr01 \(10\.88\.0\.\d+\)/ })
  await leadsTo(port, 'web_svr01')
  await podman('restart', '-t', '0', 'web_svr01')
  await leadsTo(port, 'web_svr01')
  await podman('stop', '-t', '0', 'web_svr01')
  await leadsTo(port, 'disconnected')
  await podman('start', 'web_svr01')
  await leadsTo(labelled, 'web_svr01')
  await podman('rm', '-f', '-t', '0', 'web_svr01')
  await until(async () => (await daemon.client.list()).length === 0)
})
