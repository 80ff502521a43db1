import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { execaSync } from 'execa'
import t from 'tap'
import { missing, run, stop } from '../../lib/program.js'
import { PROXYD, runFolder, startProxyd } from '../../lib/proxyd.js'
import { until } from '../../lib/until.js'

t.test('systemd is notified', { skip: missing('/usr/bin/socat', 'socat') }, async (t) => {
  const path = join(runFolder(t), 'notify')
  const systemd = run(t, ['-u', `UNIX-RECV:${path}`, '-'], { program: 'socat' })
  await until(() => existsSync(path))
  const { pid } = await startProxyd(t, { env: { NOTIFY_SOCKET: path } })
  const [said] = (await once(systemd.child.stdout ?? t, 'data')) as [Buffer]
  t.equal(said.toString(), `MAINPID=${pid}\nREADY=1`)
})

t.test(
  "systemd's watchdog is notified regularly",
  { skip: missing('/usr/bin/socat', 'socat') },
  async (t) => {
    const path = join(runFolder(t), 'notify')
    const systemd = run(t, ['-u', `UNIX-RECV:${path}`, '-'], { program: 'socat' })
    await until(() => existsSync(path))
    let said = ''
    systemd.child.stdout?.on('data', (text: Buffer) => (said += text.toString()))
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' }
    const first = await startProxyd(t, { env })
    await until(() => said.split('WATCHDOG=1').length > 3)
    const second = await startProxyd(t, { folder: first.folder, args: ['--replace'] })
    t.match(await first.exit, { code: 0 })
    t.match(await stop(second), { code: 0 })
  },
)

t.test('the log as text, and as JSON', async (t) => {
  for (const [format, line] of [
    ['text', /^\[?\d\d:\d\d:\d\d\.\d{3}\]? INFO.*: Stopped: /],
    ['json', /^\{"level":30,.*"msg":"Stopped: /],
  ] as const) {
    const args = ['--run-dir', runFolder(t), '--log-format', format]
    const running = run(t, args, { program: PROXYD })
    await once(running.child.stdout ?? t, 'data')
    running.child.kill('SIGTERM')
    t.match(await running.stderr, line)
  }
})

t.test('the version, and options that can not be followed', async (t) => {
  const program = PROXYD
  t.match(execaSync(program, ['--version']).stdout, /^docker-proxyd \(commit .*\) version /)
  for (const [args, text] of [
    [
      ['--workers', '17'],
      'docker-proxyd: invalid setting "17" for --workers: use auto, or 1 to 16\n',
    ],
    [['--fast'], 'docker-proxyd: unknown argument "--fast": see docker-proxyd --help\n'],
    [['--run-dir='], 'docker-proxyd: --run-dir "": name a folder\n'],
    [['now'], 'docker-proxyd: unknown argument "now": see docker-proxyd --help\n'],
  ] as const) {
    const running = run(t, ['--run-dir', runFolder(t), ...args], { program })
    t.match(await running.exit, { code: 2 })
    t.equal(await running.stderr, text)
  }
})
