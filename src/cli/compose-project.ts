import { readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { UsageError } from './usage-error.js'

/** Compose's rule for names of projects. */
const PROJECT = /^[a-z0-9][a-z0-9_-]*$/
const VARIABLE = 'COMPOSE_PROJECT_NAME'

/** How a user names a compose project. */
export interface ProjectChoice {
  /** Compose files, as `docker compose -f` accepts them. */
  readonly files: readonly string[]
  readonly projectName: string | undefined
}

/**
 * Finds the name of a compose project as compose does: `--project-name`, COMPOSE_PROJECT_NAME, the last `name:` of the files, the folder of
 * the first file. Source: https://docs.docker.com/compose/how-tos/project-name/
 * @returns undefined if neither a file nor a name is given
 * Rejects with UsageError.
 */
export async function composeProject(
  { files, projectName }: ProjectChoice,
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  if (projectName !== undefined) return checked(projectName, '--project-name')
  const [first] = files
  if (first === undefined) return undefined
  const folder = dirname(resolve(first))
  const variables = { ...readEnvFile(join(folder, '.env')), ...env }
  const fromVariable = variables[VARIABLE]
  if (fromVariable) return checked(fromVariable, VARIABLE)
  const names = await Promise.all(files.map((file) => nameIn(file, variables)))
  const named = names.findLast((name) => name !== undefined)
  if (named !== undefined) return checked(named, `name: in ${files.join(', ')}`)
  const fromFolder = basename(folder)
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '')
    .replace(/^[_-]+/, '')
  if (fromFolder !== '') return fromFolder
  throw new UsageError(
    `the folder ${JSON.stringify(folder)} gives no name for a compose project: name it with --project-name`,
  )
}

/** @throws UsageError */
function checked(name: string, source: string): string {
  if (PROJECT.test(name)) return name
  throw new UsageError(
    `invalid name ${JSON.stringify(name)} of a compose project (${source}): expected lowercase letters, digits, "-" and "_", beginning with a letter or digit`,
  )
}

/** The top-level `name:` of a compose file. Rejects with UsageError. */
async function nameIn(file: string, variables: NodeJS.ProcessEnv): Promise<string | undefined> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (err) {
    throw new UsageError(`can't read the compose file ${JSON.stringify(file)}: ${errnoReason(err)}`)
  }
  const { parse } = await import('yaml')
  let name: unknown
  try {
    // A warning, for example of an unknown tag, would quote the file.
    name = (parse(text, { logLevel: 'error' }) as { name?: unknown } | null)?.name
  } catch (err) {
    const [reason = ''] = (err as Error).message.split('\n')
    throw new UsageError(`${JSON.stringify(file)} is not a compose file: ${reason}`)
  }
  return typeof name === 'string' ? interpolate(name, variables) : undefined
}

/** Replaces `$$`, `$NAME`, `${NAME}`, `${NAME-default}` and `${NAME:-default}`. */
function interpolate(text: string, variables: NodeJS.ProcessEnv): string {
  return text.replace(
    /\$(?:\$|(\w+)|\{(\w+)(?:(:?)-([^}]*))?\})/g,
    (whole, plain: string | undefined, braced = '', colon = '', byDefault = '') => {
      if (whole === '$$') return '$'
      const value = variables[plain ?? String(braced)]
      const isSet = value !== undefined && (colon === '' || value !== '')
      return isSet ? value : String(byDefault)
    },
  )
}

/** Reads assignments of compose's `.env`. @throws UsageError if the file is there and can't be read */
function readEnvFile(path: string): Record<string, string> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (err) {
    if (errnoCode(err) === 'ENOENT') return {}
    throw new UsageError(`can't read ${path}: ${errnoReason(err)}`)
  }
  const variables: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const [, name, value = ''] = /^\s*(?:export\s+)?(\w+)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (name !== undefined) variables[name] = unquote(value)
  }
  return variables
}

/** The value of an assignment, without quotes and without a comment behind it. */
function unquote(text: string): string {
  const [, , quoted] = /^(["'])(.*?)\1(?:\s+#.*)?$/.exec(text) ?? []
  return quoted ?? text.replace(/\s+#.*$/, '')
}
