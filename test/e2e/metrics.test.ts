import t from 'tap'
import { listeningPort } from '../lib/proc.js'
import { proxyFlags, READY, run, stop, type Running } from '../lib/program.js'
import { startProxyd } from '../lib/proxyd.js'
import { exchange, startEcho } from '../lib/sockets.js'
import { until } from '../lib/until.js'

/* Metrics of docker-proxies without docker-publish. */

const ENV = { DOCKER_PROXY_METRICS: '127.0.0.1:0', DOCKER_PROXY_ISOLATION: 'process' }

/** The lines of a process's log so far. */
function logOf({ child }: Running): { readonly text: string } {
  const log = { text: '' }
  child.stderr?.on('data', (chunk: Buffer) => (log.text += chunk.toString()))
  return log
}

const urlIn = (log: string): string => /Metrics on (http:\S+\/metrics)/.exec(log)?.[1] ?? ''

async function scrape(url: string): Promise<string> {
  return (await fetch(url)).text()
}

for (const engine of ['native', 'streams']) {
  t.test(`${engine}: a docker-proxy serves the metrics of its port`, async (t) => {
    const echo = await startEcho(t)
    const running = run(t, proxyFlags(echo), {
      env: { ...ENV, DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_LOG_FORMAT: 'text' },
    })
    const log = logOf(running)
    t.equal(await running.status, READY)
    await until(() => urlIn(log.text) !== '')
    const port = Number(/listening on tcp\/127\.0\.0\.1:(\d+)/.exec(log.text)?.[1])
    t.equal(await exchange(t, port, 'ping'), 'ping')
    const labels = `publication="127.0.0.1",publisher="docker",protocol="tcp",host_ip="127.0.0.1",host_port="${port}"`
    const wanted = `docker_publish_received_bytes_total{${labels}} 4\n`
    await until(async () => (await scrape(urlIn(log.text))).includes(wanted))
    t.match(await scrape(urlIn(log.text)), `docker_publish_connections_total{${labels}} 1\n`)

    // Another one with the same address serves its port all the same.
    const address = new URL(urlIn(log.text)).host
    const second = run(t, proxyFlags(echo), { env: { ...ENV, DOCKER_PROXY_METRICS: address } })
    const secondLog = logOf(second)
    t.equal(await second.status, READY)
    await until(() => secondLog.text.includes(`can't serve the metrics on ${address}: address`))
    t.equal(await exchange(t, listeningPort(second.pid), 'pong'), 'pong')
    t.match(await stop(running), { code: 0 })
    await until(() => urlIn(secondLog.text) !== '')
    t.pass('it takes the address once that is free')
    t.match(await stop(second), { code: 0 })
  })
}

t.test('a docker-proxyd serves the metrics of all its ports, and then its successor', async (t) => {
  const echo = await startEcho(t)
  const old = await startProxyd(t, { env: { DOCKER_PROXY_METRICS: '127.0.0.1:0' } })
  const url = async (lines: typeof old.lines): Promise<string> => {
    await until(() => lines.some(({ msg }) => urlIn(String(msg)) !== ''))
    return urlIn(lines.map(({ msg }) => String(msg)).join('\n'))
  }
  const ports = [await old.publish(echo), await old.publish(echo)]
  for (const { port } of ports) t.equal(await exchange(t, port, 'ping'), 'ping')
  const address = await url(old.lines)
  for (const { port } of ports) {
    const line = new RegExp(`connections_total{.*host_port="${port}"} 1\n`)
    await until(async () => line.test(await scrape(address)))
  }
  const next = await startProxyd(t, {
    folder: old.folder,
    args: ['--replace'],
    env: { DOCKER_PROXY_METRICS: new URL(address).host },
  })
  t.equal(await url(next.lines), address)
  t.match(await scrape(address), new RegExp(`open_connections{.*host_port="${ports[0]?.port}"} 0`))
  t.match(await stop(next), { code: 0 })
})

t.test('an address that is none is refused', async (t) => {
  const running = run(t, proxyFlags({ ip: '127.0.0.1', port: 1 }), {
    env: { ...ENV, DOCKER_PROXY_METRICS: '9464' },
  })
  t.match(await running.status, /^1\n/)
  t.match(await running.stderr, /invalid setting "9464" for DOCKER_PROXY_METRICS: use IP:PORT/)
  t.match(await running.exit, { code: 2 })
})
