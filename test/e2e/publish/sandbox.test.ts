import { readFileSync } from 'node:fs'
import t from 'tap'
import { notRoot } from '../../lib/program.js'
import { startDaemon } from '../../lib/publish.js'
import { documentedUnit, inSandboxOf } from '../../lib/sandbox.js'
import { exchange, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

const skip = notRoot('to give up capabilities, and to mount')

/** The lines of a unit that take rights away. */
function sandboxOf(unit: string): string | undefined {
  return /^NoNewPrivileges=[^]*(?=\n\n\[Install\])/m.exec(unit)?.[0]
}

t.test('the daemon works in the sandbox of its documented unit', { skip }, async (t) => {
  const unit = documentedUnit()
  t.match(unit, /^NoNewPrivileges=yes$/m)
  const packaged = readFileSync('packaging/systemd/docker-publish.service', 'utf8')
  t.equal(sandboxOf(packaged), sandboxOf(unit), 'the Debian package has the same')
  const through = inSandboxOf(unit)
  const daemon = await startDaemon(t, { through }, '--live-restore')
  const echo = await startEcho(t)
  const spec = `127.0.0.1::${echo.port}`
  t.match(await daemon.cli('add', '-p', spec, '--name', 'web', '127.0.0.1'), { code: 0 })
  const { ports } = await daemon.client.get('web')
  const [port] = ports
  t.equal(await exchange(t, port?.hostPort ?? 0, 'in the sandbox'), 'in the sandbox')

  // It has to read the processes and to copy the sockets of what it adopts.
  await daemon.end('SIGKILL')
  const next = await daemon.again()
  await until(async () => (await next.client.get('web')).ports[0]?.state === 'up')
  t.equal((await next.client.get('web')).ports[0]?.pid, port?.pid, 'it was adopted')
  t.equal(await exchange(t, port?.hostPort ?? 0, 'again'), 'again')

  const holder = await next.cli('check', '-p', `127.0.0.1:${port?.hostPort}:80`)
  t.match(holder, { code: 125, stderr: /held by +the publication "?web/ })
  t.match(await next.cli('rm', 'web'), { code: 0 })
})
