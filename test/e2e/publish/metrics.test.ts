import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { kill, listeningPort } from '../../lib/proc.js'
import { publish, startDaemon } from '../../lib/publish.js'
import { dial, exchange, readAll, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

/* The metrics of the daemon, as Prometheus scrapes them. */

const METRICS = ['--metrics', '127.0.0.1:0']

/** Starts a daemon with metrics. @returns how to read a value */
async function startScraped(t: Test) {
  const daemon = await startDaemon(t, {}, ...METRICS)
  const url = `http://127.0.0.1:${listeningPort(daemon.running.pid)}/metrics`
  const scrape = async (): Promise<string> => (await fetch(url)).text()
  /** The value of a metric, whose labels must contain `labels`. */
  const value = async (name: string, labels: string): Promise<number | undefined> => {
    const line = (await scrape())
      .split('\n')
      .find((each) => each.startsWith(`docker_publish_${name}{`) && each.includes(labels))
    return line === undefined ? undefined : Number(line.split(' ').at(-1))
  }
  return { daemon, url, scrape, value }
}

/** A port on which nobody listens any more. */
async function closedPort(t: Test): Promise<number> {
  const { server, port } = await startEcho(t)
  server.close()
  await once(server, 'close')
  return port
}

t.test('every port of a publication has its figures', async (t) => {
  const { daemon, scrape, value } = await startScraped(t)
  const echo = await startEcho(t)
  const args = ['-p', `127.0.0.1::${echo.port}`, '--name', 'web', echo.ip]
  t.match(await daemon.cli('add', ...args), { code: 0 })
  const { ports } = await daemon.client.get('web')
  const port = ports[0]?.hostPort ?? 0
  const labels = `publication="web",publisher="docker-publish",protocol="tcp",host_ip="127.0.0.1",host_port="${port}"`
  t.equal(await value('port_up', labels), 1)
  t.equal(await value('open_connections', labels), 0)

  t.equal(await exchange(t, port, 'ping'), 'ping')
  await until(async () => (await value('open_connections', labels)) === 0)
  t.equal(await value('connections_total', labels), 1)
  t.equal(await value('received_bytes_total', labels), 4)
  t.equal(await value('sent_bytes_total', labels), 4)

  t.equal(await value('connection_duration_seconds_count', labels), 1)
  t.equal(await value('connection_duration_seconds_bucket', `le="+Inf",${labels}`), 1)
  t.equal(await value('paused_reads_total', `${labels},slow="client"`), 0)

  const lasting = await dial(t, port)
  lasting.write('grows')
  await once(lasting, 'data')
  await until(async () => (await value('received_bytes_total', labels)) === 9)
  t.equal(await value('open_connections', labels), 1, 'while it is open')
  lasting.destroy()

  kill(ports[0]?.pid)
  await until(async () => (await value('proxy_restarts_total', labels)) === 1)
  await until(async () => (await value('port_up', labels)) === 1)
  t.match(await scrape(), /^docker_publish_build_info\{version="[\d.]+",commit="\w+"\} 1$/m)
})

t.test('failed dials are counted by reason', async (t) => {
  const { daemon, value } = await startScraped(t)
  const args = ['-p', `127.0.0.1::${await closedPort(t)}`, '--name', 'gone', '127.0.0.1']
  t.match(await daemon.cli('add', ...args), { code: 0 })
  const [port] = (await daemon.client.get('gone')).ports
  for (let i = 0; i < 3; i++) {
    const socket = await dial(t, port?.hostPort ?? 0)
    await readAll(socket).catch(() => undefined)
    socket.destroy()
  }
  await until(async () => (await value('dial_errors_total', 'reason="connection refused"')) === 3)
})

t.test('the dashboard names metrics that exist', async (t) => {
  const { daemon, scrape } = await startScraped(t)
  const args = ['-p', `127.0.0.1::${await closedPort(t)}`, '--name', 'web', '127.0.0.1']
  t.match(await daemon.cli('add', ...args), { code: 0 })
  const text = await scrape()
  const names = [...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name)
  for (const file of ['docs/metrics/dashboard.json', 'docs/metrics.md']) {
    const found = readFileSync(file, 'utf8').match(/docker_publish_\w+/g) ?? []
    const used = new Set(found.map((name) => name.replace(/_bucket$/, '')))
    t.ok(used.size > 5)
    t.strictSame(
      [...used].filter((name) => !names.includes(name)),
      [],
      file,
    )
  }
  t.strictSame(
    names.filter((name) => !readFileSync('docs/metrics.md', 'utf8').includes(String(name))),
    [],
  )
})

t.test('anything else is refused', async (t) => {
  const { url } = await startScraped(t)
  t.equal((await fetch(new URL('/', url))).status, 404)
  t.equal((await fetch(url, { method: 'POST' })).status, 405)
  for (const bad of ['9464', 'host:1', '127.0.0.1:70000', '']) {
    t.match(await publish(t, ['daemon', '--metrics', bad]), {
      code: 2,
      stderr: `docker-publish: invalid --metrics ${JSON.stringify(bad)}: expected IP:PORT, for example 127.0.0.1:9464\n`,
    })
  }
})

t.test('an address that is taken ends the daemon, and starts nothing', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1')
  t.teardown(() => holder.close())
  await once(holder, 'listening')
  const address = holder.address()
  const port = typeof address === 'object' ? address?.port : 0
  // t.testdir() is too long a path for a socket.
  const folder = mkdtempSync(join(tmpdir(), 'metrics-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const socket = join(folder, 'second.sock')
  const args = ['-H', `unix://${socket}`, '--metrics', `127.0.0.1:${port}`]
  await t.rejects(startDaemon(t, {}, ...args), {
    message: new RegExp(
      `can't serve the metrics on 127\\.0\\.0\\.1:${port}: address already in use`,
    ),
  })
  t.notOk(existsSync(socket))
})
