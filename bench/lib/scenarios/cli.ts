import { output, type Command } from '../child.js'
import { native } from '../peers/docker-proxy.js'
import { builtProgram } from '../places.js'
import { freePort } from '../ports.js'
import { startPublishDaemon } from '../publish-daemon.js'
import { nothingMissing, type Figures, type Start } from '../scenario.js'
import type { Site } from '../site.js'
import { median } from '../statistics.js'

const TIMES = 5
const CONTAINER = '127.0.0.9'

/** Each command, with the options that name its daemon, a port that is free, and a publication. */
const COMMANDS: Readonly<Record<string, (host: string[], port: number) => string[]>> = {
  add: (host, port) => ['add', ...host, '-p', `127.0.0.1:${port}:80`, CONTAINER],
  check: (host, port) => ['check', ...host, '-p', `127.0.0.1:${port}:80`],
  ls: (host) => ['ls', ...host],
  inspect: (host) => ['inspect', ...host, 'bench'],
  port: (host) => ['port', ...host, 'bench'],
  version: () => ['version'],
  help: () => ['--help'],
  completion: () => ['--get-yargs-completions', 'docker-publish', 'l'],
}

/** Run times of the commands of docker-publish, beside that of Node alone. */
const cli: Start = {
  kind: 'start',
  name: 'cli',
  isLocal: true,
  title: 'commands of docker-publish',
  load: `from start to end, the median of ${TIMES}; add includes the start of a proxy`,
  figures: [
    { key: 'node', title: 'node -e 0', unit: 'ms', better: 'less' },
    ...Object.keys(COMMANDS).map((key) => ({
      ...({ key, title: key, unit: 'ms', better: 'less' } as const),
    })),
  ],
  seconds: () => 7,
  missing: nothingMissing,
  suits: (peer) => peer === native,
  async measure({ site }) {
    const daemon = await startPublishDaemon(site)
    const host = ['--host', `unix://${daemon.socket}`]
    const publish = (...args: string[]): Command => [builtProgram('docker-publish'), ...args]
    try {
      const publication = `127.0.0.1:${await freePort()}:80`
      await output(publish('add', ...host, '--name', 'bench', '-p', publication, CONTAINER))
      const figures: Record<string, number> = {
        node: await time(site, () => [process.execPath, '-e', '0']),
      }
      for (const [name, argsFor] of Object.entries(COMMANDS)) {
        figures[name] = await time(site, (port) => publish(...argsFor(host, port)))
      }
      return figures satisfies Figures
    } finally {
      await daemon.close()
    }
  },
}

/** @returns milliseconds */
async function time(site: Site, commandFor: (port: number) => Command): Promise<number> {
  const times: number[] = []
  while (times.length < TIMES) {
    const command = commandFor(await freePort())
    const start = performance.now()
    await output(site.load(...command))
    times.push(performance.now() - start)
  }
  return median(times)
}

export const CLI: readonly Start[] = [cli]
