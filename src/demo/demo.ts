import type { Server } from 'node:http'
import { get } from 'node:http'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import type { Controller } from '../controller/controller.js'
import type { PublicationView } from '../controller/views.js'
import { processCommand } from '../linux/proc/process.js'
import { isPortFree } from '../linux/sockets/port-socket.js'
import { Refusal } from '../ports/refusal.js'
import { startForeignProcess } from './foreign-process.js'
import { askUdp, startUdpServer } from './udp-server.js'
import { startWebServer } from './web-server.js'

/** How the demo prints. The caller decides the form. */
export interface DemoView {
  print(text: string): Promise<void>
  /** What `add` prints for a publication. */
  published(publication: PublicationView): string
  /** What `add` prints for a refusal. */
  refused(refusal: Refusal): string
}

/** Addresses of the containers, on the loopback network. */
const WEB1_IP = '127.17.0.2'
const WEB2_IP = '127.17.0.3'
const DNS_IP = '127.17.0.4'
const FIRST_PORT = 8080
const LAST_PORT = 8180
const LOOPBACK = ['127.0.0.1', '127.0.0.2'] as const

/**
 * Shows with real sockets which claims of a port succeed, which fail, and why.
 * @param program the name of docker-publish
 * @returns a function that stops the servers that play the containers; the first publication stays up until then
 */
export async function runDemo(
  controller: Controller,
  program: string,
  view: DemoView,
): Promise<() => void> {
  const web1 = await startWebServer('web_svr01', WEB1_IP, 80)
  const web2 = await startWebServer('web_svr02', WEB2_IP, 90)
  const dns = await startUdpServer('dns_svr01', DNS_IP)
  const foreign = await startForeignProcess()
  const port = firstFreePort()
  const other = port + 1

  let number = 0
  const step = async (name: string, ip: string, spec: string, reason: string): Promise<void> => {
    await view.print(`\n${++number}. ${program} add -p ${spec} --name ${name} ${ip}`)
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
    `Servers on this machine play the containers: web_svr01 on ${WEB1_IP}:${web1.port}, web_svr02 on ${WEB2_IP}:${web2.port}, dns_svr01 on ${DNS_IP}:${dns.port}`,
  )
  if (port !== FIRST_PORT)
    await view.print(`Port ${FIRST_PORT} is taken here, so the demo starts with ${port}.`)

  await step(
    'web_svr01',
    WEB1_IP,
    `${port}:${web1.port}`,
    'the port was free: it is bound on all addresses, IPv4 and IPv6.',
  )
  await view.print(`   $ curl http://127.0.0.1:${port}/\n${indent((await fetchText(port)).trim())}`)
  await step(
    'web_svr02',
    WEB2_IP,
    `${port}:${web2.port}`,
    'an address and port has only one listener, whatever the container port is.',
  )
  await step(
    'web_svr02',
    WEB2_IP,
    `${LOOPBACK[0]}:${other}:${web2.port}`,
    'another port is free; with an address, only that address is bound.',
  )
  await step(
    'web_svr01_b',
    WEB1_IP,
    `${LOOPBACK[1]}:${other}:${web1.port}`,
    'the same port on another address of the host does not conflict.',
  )
  await step(
    'web_svr03',
    WEB1_IP,
    `${other}:${web1.port}`,
    'all IPv4 addresses include the two on which the port is bound already.',
  )
  await step('dns_svr01', DNS_IP, `${port}:${dns.port}/udp`, 'TCP and UDP ports never conflict.')
  await view.print(`   A datagram to port ${port}: ${await askUdp('who are you?', port)}`)
  await step(
    'web_svr04',
    WEB1_IP,
    `${LOOPBACK[0]}:${foreign.port}:${web1.port}`,
    'a process outside Docker has the port, so the kernel refuses it.',
  )

  for (const { name } of await controller.list()) {
    if (name !== 'web_svr01') await controller.remove(name)
  }
  foreign.child.stdin?.end()
  const pid = (await controller.get('web_svr01')).ports[0]?.pid ?? 0
  await view.print(`
All publications except the first are withdrawn. Still up:

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

/** Finds a port that is free on all addresses, and the next one as well. */
function firstFreePort(): number {
  for (let port = FIRST_PORT; port < LAST_PORT; port++) {
    const ports = [port, port + 1]
    if (ports.every(isFree)) return port
  }
  throw new Error(`no two ports between ${FIRST_PORT} and ${LAST_PORT} are free`)
}

function isFree(port: number): boolean {
  return (['tcp', 'udp'] as const).every((protocol) =>
    isPortFree({ protocol, ip: '0.0.0.0', port }),
  )
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
