import { lstatSync, mkdirSync, readlinkSync, realpathSync, symlinkSync, unlinkSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import { errnoCode, errnoReason } from '../../linux/errno.js'
import { print } from '../output.js'
import { UsageError } from '../usage-error.js'

interface Args {
  dir: string
}

/** docker takes the name of a plugin from its file. */
const FILE = 'docker-publish'
/** For all users of the machine. Source: docker/cli, cli-plugins/manager/manager_unix.go. */
const SYSTEM_FOLDER = '/usr/local/lib/docker/cli-plugins'

export const installPluginCommand: CommandModule<object, Args> = {
  command: 'install-plugin',
  describe: 'Make this program a command of docker: docker publish',
  builder: withFolder,
  handler: async ({ dir }) => {
    const path = join(dir, FILE)
    const program = realpathSync(process.argv[1] ?? '')
    const there = linkAt(path)
    if (there !== program) {
      if (there !== undefined) refuseForeign(path, there)
      try {
        mkdirSync(dir, { recursive: true })
        if (there !== undefined) unlinkSync(path)
        symlinkSync(program, path)
      } catch (err) {
        throw new Error(`can't make ${path}: ${errnoReason(err)}`, { cause: err })
      }
    }
    await print(`${path} -> ${program}\nTry it: docker publish ls`)
  },
}

export const uninstallPluginCommand: CommandModule<object, Args> = {
  command: 'uninstall-plugin',
  describe: 'Remove docker publish',
  builder: withFolder,
  handler: async ({ dir }) => {
    const path = join(dir, FILE)
    const there = linkAt(path)
    if (there === undefined) return print(`there is no ${path}`)
    refuseForeign(path, there)
    try {
      unlinkSync(path)
    } catch (err) {
      throw new Error(`can't remove ${path}: ${errnoReason(err)}`, { cause: err })
    }
    await print(`removed ${path}`)
  },
}

function withFolder<T>(yargs: Argv<T>) {
  return yargs.option('dir', {
    type: 'string',
    requiresArg: true,
    default: defaultFolder(),
    describe: "docker's folder of plugins",
    coerce(dir: string) {
      if (dir === '') throw new UsageError('--dir "": name a folder')
      return dir
    },
  })
}

function defaultFolder(): string {
  const { DOCKER_CONFIG: config } = process.env
  if (process.getuid?.() === 0 && !config) return SYSTEM_FOLDER
  return join(config || join(homedir(), '.docker'), 'cli-plugins')
}

/** Where a link leads; an empty text for a file that is no link; undefined if there is nothing. */
function linkAt(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : ''
  } catch (err) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoCode(err) ?? '')) return undefined
    throw new Error(`can't read ${path}: ${errnoReason(err)}`, { cause: err })
  }
}

/** Only a link to a program of this name is ours. @throws Error */
function refuseForeign(path: string, target: string): void {
  if (target.endsWith(`/${FILE}`)) return
  throw new Error(
    `${path} is another file, and was left alone: move it away, or name another folder with --dir`,
  )
}
