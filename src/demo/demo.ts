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
  /** The output of `add` for a publication. */
  published(publication: PublicationView): string
  /** The output of `add` for a refusal. */
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
  const parts = await startParts()
  const { web1, web2, dns, foreign, port } = parts
  await view.print(
    `Servers on this machine play the containers: web_svr01 on ${WEB1_IP}:${web1.port}, web_svr02 on ${WEB2_IP}:${web2.port}, dns_svr01 on ${DNS_IP}:${dns.port}`,
  )
  if (port !== FIRST_PORT) {
    await view.print(`Port ${FIRST_PORT} is taken here, so the demo starts with ${port}.`)
  }
  for (const [i, step] of stepsOf(parts).entries()) {
    await view.print(`\n${i + 1}. ${program} add -p ${step.spec} --name ${step.name} ${step.ip}`)
    await view.print(indent(await outcomeOf(controller, view, step)))
    await view.print(`   Why: ${step.why}`)
    if (step.proof) await view.print(await step.proof())
  }
  await withdrawOthers(controller)
  foreign.child.stdin?.end()
  await view.print(await summary(controller, port))
  return () => {
    close(web1.server)
    close(web2.server)
    dns.socket.close()
  }
}

/** One `add`, and why it succeeds or fails. */
interface Step {
  readonly name: string
  readonly ip: string
  readonly spec: string
  readonly why: string
  /** Shows that traffic gets through. */
  readonly proof?: () => Promise<string>
}

type Parts = Awaited<ReturnType<typeof startParts>>

/** Starts the servers that play the containers, and finds two free ports. */
async function startParts() {
  return {
    web1: await startWebServer('web_svr01', WEB1_IP, 80),
    web2: await startWebServer('web_svr02', WEB2_IP, 90),
    dns: await startUdpServer('dns_svr01', DNS_IP),
    foreign: await startForeignProcess(),
    port: firstFreePort(),
  }
}

function stepsOf({ web1, web2, dns, foreign, port }: Parts): Step[] {
  const other = port + 1
  return [
    {
      ...{ name: 'web_svr01', ip: WEB1_IP, spec: `${port}:${web1.port}` },
      why: 'the port was free: it is bound on all addresses, IPv4 and IPv6.',
      proof: async () =>
        `   $ curl http://127.0.0.1:${port}/\n${indent((await fetchText(port)).trim())}`,
    },
    {
      ...{ name: 'web_svr02', ip: WEB2_IP, spec: `${port}:${web2.port}` },
      why: 'an address and port has only one listener, whatever the container port is.',
    },
    {
      ...{ name: 'web_svr02', ip: WEB2_IP, spec: `${LOOPBACK[0]}:${other}:${web2.port}` },
      why: 'another port is free; with an address, only that address is bound.',
    },
    {
      ...{ name: 'web_svr01_b', ip: WEB1_IP, spec: `${LOOPBACK[1]}:${other}:${web1.port}` },
      why: 'the same port on another address of the host does not conflict.',
    },
    {
      ...{ name: 'web_svr03', ip: WEB1_IP, spec: `${other}:${web1.port}` },
      why: 'all IPv4 addresses include the two on which the port is bound already.',
    },
    {
      ...{ name: 'dns_svr01', ip: DNS_IP, spec: `${port}:${dns.port}/udp` },
      why: 'TCP and UDP ports never conflict.',
      proof: async () => `   A datagram to port ${port}: ${await askUdp('who are you?', port)}`,
    },
    {
      ...{ name: 'web_svr04', ip: WEB1_IP, spec: `${LOOPBACK[0]}:${foreign.port}:${web1.port}` },
      why: 'a process outside Docker has the port, so the kernel refuses it.',
    },
  ]
}

async function outcomeOf(
  controller: Controller,
  view: DemoView,
  { name, ip, spec }: Step,
): Promise<string> {
  try {
    return view.published(await controller.add({ name, backend: ip, ports: [spec] }))
  } catch (err) {
    if (err instanceof Refusal) return view.refused(err)
    throw err
  }
}

async function withdrawOthers(controller: Controller): Promise<void> {
  for (const { name } of await controller.list()) {
    if (name !== 'web_svr01') await controller.remove(name)
  }
}

async function summary(controller: Controller, port: number): Promise<string> {
  const pid = (await controller.get('web_svr01')).ports[0]?.pid ?? 0
  return `
All publications except the first are withdrawn. Still up:

  published   http://127.0.0.1:${port}/
  process     ${(processCommand(pid) ?? []).join(' ')}  (pid ${pid})

  Try         curl http://127.0.0.1:${port}/
  Stop        Ctrl-C
`
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
