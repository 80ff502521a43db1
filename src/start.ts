import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { startProxy, type ProxyProcess } from './demo/proxy-process.js'
import { startWebServer } from './demo/web-server.js'

/*
 * `npm start`: with arguments the drop-in itself, without any a published port to try it on.
 */

const PROGRAM = fileURLToPath(new URL('docker-proxy', import.meta.url))
const CONTAINER = 'web_svr01'
const HOST_IP = '127.0.0.1'
const FIRST_PORT = 8080
const LAST_PORT = 8180

async function main(): Promise<void> {
  const args = process.argv.slice(2)
  process.exitCode = args.length > 0 ? await runDropIn(args) : await runDemo()
}

/** Runs docker-proxy with these arguments; its exit code is ours. */
async function runDropIn(args: readonly string[]): Promise<number> {
  const child = spawn(PROGRAM, args, { stdio: 'inherit' })
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
  process.on('SIGINT', forward)
  process.on('SIGTERM', forward)
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}

async function runDemo(): Promise<number> {
  const { server, address, port } = await startWebServer(CONTAINER)
  const { hostPort, proxy } = await publish(address, port)
  const { child, commandLine } = proxy
  console.log(`
  container   ${CONTAINER} listens on ${address}:${port}
  published   http://${HOST_IP}:${hostPort}/
  process     ${commandLine}  (pid ${child.pid ?? '?'})

  Try         curl http://${HOST_IP}:${hostPort}/
  Stop        Ctrl-C
`)
  const stop = (): void => void child.kill('SIGINT')
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  await once(child, 'exit')
  server.close()
  server.closeAllConnections()
  if (child.killed) return 0
  console.error('docker-proxy ended by itself: see its log above, or start it alone to learn more')
  return 1
}

/** Publishes the container on port 8080, or on the next one that is free. */
async function publish(
  ip: string,
  port: number,
): Promise<{ hostPort: number; proxy: ProxyProcess }> {
  for (let hostPort = FIRST_PORT; ; hostPort++) {
    const flags = Object.entries({
      proto: 'tcp',
      'host-ip': HOST_IP,
      'host-port': hostPort,
      'container-ip': ip,
      'container-port': port,
    }).flatMap(([flag, value]) => [`-${flag}`, String(value)])
    try {
      return { hostPort, proxy: await startProxy(PROGRAM, flags) }
    } catch (err) {
      const { message } = err as Error
      if (!message.includes('address already in use') || hostPort === LAST_PORT) throw err
      console.log(`  Port ${hostPort} is taken, trying ${hostPort + 1}: ${message}`)
    }
  }
}

main().catch((err: unknown) => {
  console.error(`npm start: ${(err as Error).message}`)
  process.exit(1)
})
