import type { Server } from 'node:http'
import { get } from 'node:http'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import type { PublicationView } from '../controller/api/types.js'
import { Refusal } from '../controller/conflict.js'
import type { Controller } from '../controller/controller.js'
import { isPortFree } from '../linux/port-socket.js'
import { processCommand } from '../linux/process.js'
import { startForeignProcess } from './foreign-process.js'
import { askUdp, startUdpServer } from './udp-server.js'
import { startWebServer } from './web-server.js'

/** How the demo shows what it does; the words and colours are its caller's. */
export interface DemoView {
  print(text: string): Promise<void>
  /** What `docker-publish add` would print for a publication, and for a refusal. */
  published(publication: PublicationView): string
  refused(refusal: Refusal): string
}

/** Two containers' addresses, each its own on the loopback network, and the one of a DNS server. */
const WEB1_IP = '127.17.0.2'
const WEB2_IP = '127.17.0.3'
const DNS_IP = '127.17.0.4'
const FIRST_PORT = 8080
const LAST_PORT = 8180
const LOOPBACK = ['127.0.0.1', '127.0.0.2'] as const

/**
 * The story of a port, told with real sockets: who may have it, who may not, and why.
 * @returns ends what plays the containers; the first publication stays up until then
 */
export async function runDemo(controller: Controller, view: DemoView): Promise<() => void> {
  const web1 = await startWebServer('web_svr01', WEB1_IP, 80)
  const web2 = await startWebServer('web_svr02', WEB2_IP, 90)
  const dns = await startUdpServer('dns_svr01', DNS_IP)
  const foreign = await startForeignProcess()
  const port = firstFreePort()
  const other = port + 1

  let number = 0
  const step = async (name: string, ip: string, spec: string, reason: string): Promise<void> => {
    await view.print(`\n${++number}. docker-publish add -p ${spec} --name ${name} ${ip}`)
    try {
      await view.print(
        indent(view.published(await controller.add({ name, backend: ip, ports: [spec] }))),
      )
    } catch (err) {
      if (!(err instanceof Refusal)) throw err
      await view.print(indent(view.refused(err)))
    }
    await view.print(`   Why: ${reason}`)
  }

  await view.print(
    `Containers, played by servers on this machine: web_svr01 on ${WEB1_IP}:${web1.port}, web_svr02 on ${WEB2_IP}:${web2.port}, dns_svr01 on ${DNS_IP}:${dns.port}`,
  )
  if (port !== FIRST_PORT)
    await view.print(`Port ${FIRST_PORT} is taken here, so this begins with ${port}.`)

  await step(
    'web_svr01',
    WEB1_IP,
    `${port}:${web1.port}`,
    'nobody had the port: it is bound on all addresses, IPv4 and IPv6.',
  )
  await view.print(`   $ curl http://127.0.0.1:${port}/\n${indent((await fetchText(port)).trim())}`)
  await step(
    'web_svr02',
    WEB2_IP,
    `${port}:${web2.port}`,
    'one address and port has one listener, whatever the container port is.',
  )
  await step(
    'web_svr02',
    WEB2_IP,
    `${LOOPBACK[0]}:${other}:${web2.port}`,
    'another port is free; and with an address only that one is taken.',
  )
  await step(
    'web_svr01_b',
    WEB1_IP,
    `${LOOPBACK[1]}:${other}:${web1.port}`,
    'the same port on another address of the host is another port.',
  )
  await step(
    'web_svr03',
    WEB1_IP,
    `${other}:${web1.port}`,
    'all addresses of IPv4 would include the two that have it already.',
  )
  await step(
    'dns_svr01',
    DNS_IP,
    `${port}:${dns.port}/udp`,
    'TCP and UDP count their ports each for itself.',
  )
  await view.print(`   A datagram to port ${port}: ${await askUdp('who are you?', port)}`)
  await step(
    'web_svr04',
    WEB1_IP,
    `${LOOPBACK[0]}:${foreign.port}:${web1.port}`,
    "it is the kernel that refuses: a process that is not Docker's has the port.",
  )

  for (const { name } of await controller.list()) {
    if (name !== 'web_svr01') await controller.remove(name)
  }
  foreign.child.stdin?.end()
  const pid = (await controller.get('web_svr01')).ports[0]?.pid ?? 0
  await view.print(`
All but the first are withdrawn again. Still up:

  published   http://127.0.0.1:${port}/
  process     ${(processCommand(pid) ?? []).join(' ')}  (pid ${pid})

  Try         curl http://127.0.0.1:${port}/
  Stop        Ctrl-C
`)
  return () => {
    close(web1.server)
    close(web2.server)
    dns.socket.close()
  }
}

/** A port that is free with the one after it, on all addresses. */
function firstFreePort(): number {
  for (let port = FIRST_PORT; port < LAST_PORT; port++) {
    const ports = [port, port + 1]
    if (ports.every((p) => isPortFree('tcp', '0.0.0.0', p) && isPortFree('udp', '0.0.0.0', p)))
      return port
  }
  throw new Error(`no two ports between ${FIRST_PORT} and ${LAST_PORT} are free`)
}

async function fetchText(port: number): Promise<string> {
  const request = get({ host: '127.0.0.1', port, agent: false })
  const [response] = (await once(request, 'response')) as [NodeJS.ReadableStream]
  return text(response)
}

function close(server: Server): void {
  server.close()
  server.closeAllConnections()
}

function indent(lines: string): string {
  return lines.replace(/^/gm, '   ')
}
