import t, { type Test } from 'tap'
import { run } from '../../lib/program.js'
import { PUBLISH, startDaemon } from '../../lib/publish.js'
import { dial, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

/* docker-publish top. */

/** A daemon, and a publication whose client sends without a pause. */
async function startBusy(t: Test) {
  const daemon = await startDaemon(t)
  const echo = await startEcho(t)
  const { ports } = await daemon.client.add({
    ...{ name: 'web', backend: echo.ip, ports: [`127.0.0.1::${echo.port}`] },
  })
  const port = ports[0]?.hostPort ?? 0
  const client = await dial(t, port)
  const send = (): void => {
    while (!client.destroyed && client.write(Buffer.alloc(1_000)));
  }
  client.on('drain', send).resume()
  client.on('error', () => undefined)
  send()
  const once = ['top', '--no-stream', '--interval', '200ms']
  return { daemon, port, client, once }
}

t.test('the ports with their rates', async (t) => {
  const { daemon, port, once } = await startBusy(t)
  await daemon.client.add({ name: 'idle', backend: '127.0.0.1', ports: ['127.0.0.1::1'] })
  const { code, stdout } = await daemon.cli(...once)
  t.equal(code, 0)
  t.match(stdout, /^NAME +PORT +CONNECTIONS +NEW\/S +FROM CLIENTS +TO CLIENTS\nweb +127/)
  t.match(
    stdout,
    new RegExp(`^web +127\\.0\\.0\\.1:${port}->\\d+/tcp +1 +0 +\\S+B/s +\\S+B/s$`, 'm'),
  )
  t.match(stdout, /^idle .* 0 +0 +0B\/s +0B\/s$/m)
  const json = await daemon.cli(...once, '--format', 'json')
  const [first] = JSON.parse(json.stdout) as { name: string; bytesInPerS: number }[]
  t.equal(first?.name, 'web')
  t.ok((first?.bytesInPerS ?? 0) > 0)
})

t.test('the connections of a publication with their rates', async (t) => {
  const { daemon, port, client, once } = await startBusy(t)
  const { code, stdout } = await daemon.cli(...once, 'web')
  t.equal(code, 0)
  const own = client.localPort ?? 0
  t.match(
    stdout,
    new RegExp(
      `^CLIENT .*\\n127\\.0\\.0\\.1:${own} +127\\.0\\.0\\.1:${port} +[1-9]\\S*B/s +[1-9]\\S*B/s +\\S+ / \\S+$`,
      'm',
    ),
  )
  t.match(await daemon.client.connections('web'), [{ client: `127.0.0.1:${own}` }])
  client.destroy()
  await until(async () => (await daemon.client.connections('web')).length === 0)
  t.match(await daemon.cli(...once, 'nope'), { code: 125, stderr: /no such publication: nope/ })
  t.match(await daemon.cli('top', '--interval', '1'), { code: 2, stderr: /invalid --interval "1"/ })
})

t.test('a terminal shows one table after another in the same place', async (t) => {
  const { daemon } = await startBusy(t)
  const command = `stty rows 3; ${PUBLISH} top --interval 100ms -H ${daemon.host}`
  const terminal = run(t, ['-qfec', command, '/dev/null'], { program: 'script', status: 'ignore' })
  let text = ''
  terminal.child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await until(() => text.split('\x1b[H').length > 3)
  const [, table = ''] = text.split('\x1b[H')
  t.match(table.replaceAll('\x1b', 'ESC'), /^NAME .*ESC\[K\r\nweb .*ESC\[K\r\nESC\[J/)
})
