import { readdirSync } from 'node:fs'
import t from 'tap'
import { openDescriptors } from '../lib/proc.js'
import { proxyFlags, stop, type Running } from '../lib/program.js'
import { freeRow } from '../lib/free-row.js'
import { startProxyd, type RunningProxyd } from '../lib/proxyd.js'
import { exchange, startEcho } from '../lib/sockets.js'
import { until } from '../lib/until.js'

/** 200 ports: those that a test may have in a row, on several addresses. */
const HOSTS = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5']
const PORTS_OF_A_HOST = 40

interface Port extends Running {
  readonly port: number
  readonly host: string
}

async function publishMany(
  proxyd: RunningProxyd,
  backend: { ip: string; port: number },
): Promise<Port[]> {
  const first = freeRow(PORTS_OF_A_HOST)
  const ports: Port[] = []
  for (const host of HOSTS) {
    const started = Array.from({ length: PORTS_OF_A_HOST }, async (_, i) => {
      const flags = proxyFlags(backend, { ip: host, port: first + i })
      return { host, ...(await proxyd.publish(backend, { flags })) }
    })
    ports.push(...(await Promise.all(started)))
  }
  return ports
}

t.test('200 ports under load, whose docker-proxyd is killed again and again', async (t) => {
  const echo = await startEcho(t)
  let proxyd = await startProxyd(t)
  const launchers = await publishMany(proxyd, echo)
  let isOver = false
  let answered = 0
  const ask = (turn: number, text: string): Promise<string> => {
    const { port = 0, host } = launchers[turn % launchers.length] ?? {}
    return exchange(t, port, text, host)
  }
  // Connections that are under way when it is killed end; that is all they do.
  const load = Array.from({ length: 4 }, async (_, i) => {
    for (let turn = i; !isOver; turn++) {
      const answer = await ask(turn, 'x').catch(() => '')
      if (answer === 'x') answered++
    }
  })
  for (let times = 0; times < 3; times++) {
    const before = answered
    await until(() => answered > before + 50)
    proxyd.child.kill('SIGKILL')
    await proxyd.exit
    proxyd = await startProxyd(t, { folder: proxyd.folder })
    for (const { pid, port } of launchers) t.equal(await proxyd.portOf(pid), port)
  }
  for (const i of launchers.keys()) t.equal(await ask(i, 'there'), 'there')
  isOver = true
  await Promise.all(load)

  // Some are killed, the others stopped; nothing of them stays.
  for (const [i, { child }] of launchers.entries()) child.kill(i % 2 === 0 ? 'SIGKILL' : 'SIGINT')
  for (const { exit } of launchers) await exit
  const idle = await startProxyd(t)
  await until(() => openDescriptors(proxyd.pid) <= openDescriptors(idle.pid) + 2)
  t.same(readdirSync(proxyd.folder).sort(), ['control', 'pid', 'socket'])
  t.match(await stop(proxyd), { code: 0 })
})

t.test('out of descriptors, new ports are refused and those that are there go on', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t, { descriptors: 64 })
  const launchers: (Running & { port: number })[] = []
  let refusal = ''
  while (refusal === '') {
    try {
      launchers.push(await proxyd.publish(echo, { flags: proxyFlags(echo) }))
    } catch (err) {
      refusal = (err as Error).message
    }
  }
  t.match(refusal, 'too many open files')
  t.ok(launchers.length > 5)
  for (const launcher of launchers.slice(5)) t.match(await stop(launcher), { code: 0 })
  const again = await proxyd.publish(echo)
  t.equal(await exchange(t, again.port, 'again'), 'again')
  t.equal(await exchange(t, launchers[0]?.port ?? 0, 'still'), 'still')
})
