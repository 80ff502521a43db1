import { constants, existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Argv, CommandModule } from 'yargs'
import { applyChange, formatChange, type FileChange } from '../../installer/file-change.js'
import { installation, removal, type Places } from '../../installer/plan.js'
import { UNIT } from '../../installer/systemd-unit.js'
import { readSettings } from '../../proxy/settings.js'
import { canAccess } from '../can-access.js'
import { print } from '../output.js'
import { UsageError } from '../usage-error.js'

const RESTART_DOCKER =
  'systemctl restart docker    # restarts its containers as well, unless live-restore is set'

interface Args {
  'dry-run': boolean
  'config-file': string
  'unit-dir': string | undefined
}

/** systemd's folder of units that administrators make, see systemd.unit(5). */
const UNIT_DIR = '/etc/systemd/system'

/** Standalone programs have a Node beside them. */
const OWN_FOLDER = fileURLToPath(new URL('.', import.meta.url))

/** Where systemd looks for programs, and so does a dockerd that it starts, see systemd.exec(5). */
const SYSTEM_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

export const installCommand: CommandModule<object, Args> = {
  command: 'install-userland-proxy',
  describe: 'Have dockerd use this docker-proxy, with one process for all ports',
  builder: (yargs) =>
    withPlaces(yargs).example('$0 install-userland-proxy --dry-run', 'show what would be changed'),
  handler: async (args) => {
    // An invalid settings file would keep every container with a port from starting.
    readSettings(process.env)
    const changes = installation(placesOf(args))
    const isNewUnit = isChanged(changes, join(unitDir(args), UNIT))
    const isNewConfig = isChanged(changes, args['config-file'])
    const next = existsSync(unitDir(args))
      ? [
          ...(isNewUnit ? ['systemctl daemon-reload'] : []),
          `systemctl enable --now ${UNIT}`,
          isNewConfig
            ? RESTART_DOCKER
            : `systemctl restart ${UNIT}    # if it ran already; its connections end`,
        ]
      : ['start docker-proxyd, then restart dockerd, because there is no systemd']
    await carryOut(args, changes, 'everything is installed already', next)
    const hasNode = [OWN_FOLDER, ...SYSTEM_PATH].some((folder) =>
      canAccess(join(folder, 'node'), constants.X_OK),
    )
    if (!hasNode) {
      await print(
        `\ndockerd finds no node in ${SYSTEM_PATH.join(':')}: ln -s ${process.execPath} /usr/local/bin/node`,
      )
    }
  },
}

export const uninstallCommand: CommandModule<object, Args> = {
  command: 'uninstall-userland-proxy',
  describe: 'Have dockerd use its previous docker-proxy',
  builder: withPlaces,
  handler: async (args) => {
    const changes = removal(placesOf(args))
    const hadUnit = isChanged(changes, join(unitDir(args), UNIT))
    await carryOut(args, changes, 'nothing is installed', [
      ...(hadUnit ? ['systemctl daemon-reload'] : []),
      ...(isChanged(changes, args['config-file']) ? [RESTART_DOCKER] : []),
      ...(hadUnit
        ? [`systemctl stop ${UNIT}    # last, because it serves the ports until then`]
        : []),
    ])
  },
}

function withPlaces<T>(yargs: Argv<T>) {
  return yargs
    .option('dry-run', {
      type: 'boolean',
      default: false,
      describe: 'show the changes, and change nothing',
    })
    .option('config-file', {
      type: 'string',
      requiresArg: true,
      default: '/etc/docker/daemon.json',
      describe: "dockerd's settings",
    })
    .option('unit-dir', {
      type: 'string',
      requiresArg: true,
      defaultDescription: UNIT_DIR,
      describe: "systemd's folder of units",
    })
    .check(({ 'unit-dir': folder }) => {
      if (folder === undefined || existsSync(folder)) return true
      throw new UsageError(
        `--unit-dir ${JSON.stringify(folder)}: there is no such folder; make it, or name another one`,
      )
    })
}

function unitDir(args: Pick<Args, 'unit-dir'>): string {
  return args['unit-dir'] ?? UNIT_DIR
}

function placesOf(args: Args): Places {
  const program = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
  return {
    configFile: args['config-file'],
    unitDir: unitDir(args),
    proxy: program('docker-proxy'),
    proxyd: [process.execPath, program('docker-proxyd')],
  }
}

async function carryOut(
  args: Args,
  changes: readonly FileChange[],
  nothing: string,
  next: readonly string[],
): Promise<void> {
  if (changes.length === 0) return print(`Nothing to change: ${nothing}`)
  for (const change of changes) {
    if (args['dry-run']) {
      await print(formatChange(change))
    } else {
      applyChange(change)
      await print(`${change.after === undefined ? 'removed' : 'wrote'} ${change.path}`)
    }
  }
  if (next.length === 0) return
  await print(
    `\n${args['dry-run'] ? 'Nothing was changed. Afterwards' : 'Now'}:\n  ${next.join('\n  ')}`,
  )
}

function isChanged(changes: readonly FileChange[], path: string): boolean {
  return changes.some((change) => change.path === path)
}
