import { applyEdits, modify, parse, parseTree, type Node, type ParseError } from 'jsonc-parser'
import { lstatSync, readFileSync } from 'node:fs'
import { errnoCode, errnoReason } from '../linux/errno.js'

/*
 * Edits dockerd's settings, daemon.json. One key is ours. Everything else stays unchanged, character by character.
 */

const KEY = 'userland-proxy-path'
const SWITCH = 'userland-proxy'
const EMPTY = '{}\n'
/** Some editors write it at the start of a file. Newer dockerds accept it. */
const BYTE_ORDER_MARK = '\uFEFF'
/** Used if the file has no indentation to follow. */
const INDENT = '  '

/** The path of the backup, which keeps the original file. */
export function backupOf(path: string): string {
  return `${path}.before-docker-publish`
}

/**
 * @returns the content of the file; undefined if there is none
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
 * Reads daemon.json.
 * @returns undefined if there is none
 * @throws Error with a sentence for the user if it can't be read, or is a dangling link
 */
export function readDaemonJson(path: string): string | undefined {
  const text = readText(path)
  if (text === undefined && lstatSync(path, { throwIfNoEntry: false })) {
    throw new Error(`${path} is a dangling link: create its target, or remove the link`)
  }
  return text
}

/**
 * Sets the docker-proxy.
 * @returns the new text
 * @throws Error with a sentence for the user if the settings are invalid, or disable docker-proxy
 */
export function withProxy(path: string, text: string | undefined, proxy: string): string {
  const settings = parseSettings(path, text)
  if (settings[SWITCH] === false) {
    throw new Error(
      `${path} has "${SWITCH}": false, so dockerd starts no docker-proxy: remove this setting first`,
    )
  }
  return edit(text, proxy)
}

/** Restores the previous docker-proxy, or removes the setting. @returns the new text; undefined if there was no file */
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

/** The docker-proxy in the settings. */
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
  // Only this value is replaced, or removed with its comma.
  if (isThere || value === undefined) return applyEdits(base, modify(base, [KEY], value, {}))
  const property = `${JSON.stringify(KEY)}: ${JSON.stringify(value)}`
  const last = properties.at(-1)
  if (!object || !last) return `{\n${INDENT}${property}\n}\n`
  // On its own line if the last property is on its own line.
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
      `${path} has "${KEY}" more than once, and the last one counts: remove the others first`,
    )
  }
  if (!error && typeof settings === 'object' && settings !== null && !Array.isArray(settings)) {
    return settings as Record<string, unknown>
  }
  const line = text.slice(0, error?.offset ?? 0).split('\n').length
  throw new Error(
    `${path} is not a JSON object${error ? ` (line ${line})` : ''}: dockerd would not start with it; repair it first`,
  )
}
