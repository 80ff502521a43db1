import { applyEdits, modify, parse, parseTree, type Node, type ParseError } from 'jsonc-parser'
import { lstatSync, readFileSync } from 'node:fs'
import { errnoCode, errnoReason } from '../linux/errno.js'

/*
 * dockerd's settings, daemon.json: one key of it is ours, and all else stays as it is, to the letter.
 */

const KEY = 'userland-proxy-path'
const SWITCH = 'userland-proxy'
const EMPTY = '{}\n'
/** Some editors begin a file with it, and newer dockerds skip it. */
const BYTE_ORDER_MARK = '\uFEFF'
/** Where nothing shows how the file is indented. */
const INDENT = '  '

/** Where the file is kept as it was before. */
export function backupOf(path: string): string {
  return `${path}.before-docker-publish`
}

/**
 * @returns what the file holds; undefined where there is none
 * @throws Error with a sentence for the user
 */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (err) {
    if (errnoCode(err) === 'ENOENT') return undefined
    throw new Error(`can't read ${path}: ${errnoReason(err)}`, { cause: err })
  }
}

/**
 * The text of daemon.json; undefined where there is none.
 * @throws Error where it can't be read, or is a link that leads nowhere
 */
export function readDaemonJson(path: string): string | undefined {
  const text = readText(path)
  if (text === undefined && lstatSync(path, { throwIfNoEntry: false })) {
    throw new Error(`${path} is a link that leads nowhere: make what it leads to, or remove it`)
  }
  return text
}

/**
 * The settings with another docker-proxy.
 * @throws Error where they are no settings, or say that no docker-proxy is to be used
 */
export function withProxy(path: string, text: string | undefined, proxy: string): string {
  const settings = parseSettings(path, text)
  if (settings[SWITCH] === false) {
    throw new Error(
      `${path} says "${SWITCH}": false, so dockerd starts no docker-proxy: take that out first`,
    )
  }
  return edit(text, proxy)
}

/** The settings without it: with what they said before, or nothing of it; undefined where there was no file. */
export function withoutProxy(
  path: string,
  text: string,
  backup: string | undefined,
): string | undefined {
  const before = parseSettings(path, backup)[KEY]
  const restored = edit(text, before)
  const isEmpty = Object.keys(parseSettings(path, restored)).length === 0
  return isEmpty && backup === undefined ? undefined : restored
}

/** The docker-proxy that they name. */
export function proxyOf(path: string, text: string | undefined): unknown {
  return parseSettings(path, text)[KEY]
}

function edit(text: string | undefined, value: unknown): string {
  if (text?.startsWith(BYTE_ORDER_MARK)) {
    return BYTE_ORDER_MARK + edit(text.slice(BYTE_ORDER_MARK.length), value)
  }
  const base = text?.trim() ? text : EMPTY
  const object = parseTree(base)
  const properties = object?.children ?? []
  const isThere = keysOf(object).includes(KEY)
  // Only that value is replaced, or taken out with its comma.
  if (isThere || value === undefined) return applyEdits(base, modify(base, [KEY], value, {}))
  const property = `${JSON.stringify(KEY)}: ${JSON.stringify(value)}`
  const last = properties.at(-1)
  if (!object || !last) return `{\n${INDENT}${property}\n}\n`
  // On a line of its own where the last one has that.
  const before = /\r?\n[ \t]*$/.exec(base.slice(0, last.offset))?.[0] ?? ' '
  const end = last.offset + last.length
  return `${base.slice(0, end)},${before}${property}${base.slice(end)}`
}

function keysOf(object: Node | undefined): unknown[] {
  return (object?.children ?? []).map(({ children }) => children?.[0]?.value as unknown)
}

function parseSettings(path: string, marked: string | undefined): Record<string, unknown> {
  const text = marked?.replace(BYTE_ORDER_MARK, '')
  if (!text?.trim()) return {}
  const errors: ParseError[] = []
  const settings: unknown = parse(text, errors, { disallowComments: true })
  const [error] = errors
  if (keysOf(parseTree(text)).filter((key) => key === KEY).length > 1) {
    throw new Error(
      `${path} has "${KEY}" more than once, of which the last counts: take the others out first`,
    )
  }
  if (!error && typeof settings === 'object' && settings !== null && !Array.isArray(settings)) {
    return settings as Record<string, unknown>
  }
  const line = text.slice(0, error?.offset ?? 0).split('\n').length
  throw new Error(
    `${path} is no JSON object${error ? ` (line ${line})` : ''}: dockerd would not start with it; mend it first`,
  )
}
