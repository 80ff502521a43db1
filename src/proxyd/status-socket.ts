import { once } from 'node:events'
import { chmodSync, closeSync, constants, openSync, renameSync, rmSync } from 'node:fs'
import { createServer, Socket, type Server } from 'node:net'
import { basename, dirname } from 'node:path'
import { errnoReason } from '../linux/errno.js'
import type { DescriptorBudget } from '../proxy/descriptor-budget.js'

/*
 * A unix socket on which a process tells what it serves: who connects sends a line with a word, and is answered with a
 * line of JSON.
 */

/** No word is longer, bytes. */
const MAX_WORD = 64
/** So many may ask at once, and so many where descriptors are short; and each for so long, milliseconds. */
const MAX_ASKERS = 64
const MAX_ASKERS_IN_SHORTAGE = 8
const ASKER_MS = 30_000
/** It has one socket, where a relay has two. */
const SHARE_OF_ASKER = 0.5
/** How long an answer may take where nothing else is said, milliseconds. */
const ANSWER_MS = 5_000

/** The path of a unix socket ends there, bytes, see unix(7). */
const MAX_PATH = 107
const OWNER_ONLY = 0o600

/** What is answered to each word. The asker's connection stays open until it hangs up. */
export type Answers = Readonly<Record<string, (asker: Socket) => object | Promise<object>>>

/**
 * Answers at a path, and at no other's: what is there already is replaced.
 * @param descriptors of the process
 * Rejects when the path can't be used.
 */
export async function serveStatus(
  path: string,
  descriptors: DescriptorBudget,
  answers: Answers,
): Promise<Server> {
  let askers = 0
  const server = createServer((asker) => {
    if (askers >= MAX_ASKERS_IN_SHORTAGE && descriptors.exhausted) return void asker.destroy()
    askers++
    descriptors.take(SHARE_OF_ASKER)
    asker.once('close', () => {
      askers--
      descriptors.give(SHARE_OF_ASKER)
    })
    asker.setTimeout(ASKER_MS, () => asker.destroy())
    const tell = (what: object): void => void asker.write(`${JSON.stringify(what)}\n`)
    let text = ''
    asker.on('error', () => asker.destroy())
    asker.on('data', (data) => {
      text += data.toString('latin1')
      const end = text.indexOf('\n')
      if (end < 0) {
        if (text.length > MAX_WORD) asker.destroy()
        return
      }
      const word = text.slice(0, end).trim()
      const answer = Object.hasOwn(answers, word) ? answers[word] : undefined
      text = ''
      if (!answer)
        return tell({ error: `there is an answer to ${Object.keys(answers).join(', ')}` })
      Promise.resolve(asker)
        .then(answer)
        .then(tell, (err: unknown) => tell({ error: String(err) }))
    })
  })
  server.maxConnections = MAX_ASKERS
  // It has a name of its own first: a server that closes removes its socket, and by then another's may stand there.
  const own = `${path}.${process.pid}`
  rmSync(own, { force: true })
  try {
    await withShortPath(own, (path) => once(server.listen(path), 'listening'))
    chmodSync(own, OWNER_ONLY)
    renameSync(own, path)
  } catch (err) {
    server.close()
    throw new Error(`can't use ${path}: ${errnoReason(err)}`, { cause: err })
  }
  // Out of descriptors: who asks has to ask again.
  server.on('error', () => undefined)
  return server
}

/** Somebody's answer, and the connection that it came by. */
export interface Answer {
  readonly told: unknown
  readonly connection: Socket
}

/** Asks at a path of serveStatus. Rejects when nobody answers there. */
export async function ask(path: string, word: string, limitMs = ANSWER_MS): Promise<Answer> {
  const connection = new Socket()
  // Told by what is waited for; after the answer it is of no interest.
  connection.on('error', () => undefined)
  connection.setTimeout(limitMs, () => connection.destroy(new Error('it does not answer')))
  try {
    await withShortPath(path, (short) => once(connection.connect(short), 'connect'))
    connection.write(`${word}\n`)
    const told: unknown = JSON.parse(await firstLine(connection))
    connection.setTimeout(0)
    return { told, connection }
  } catch (err) {
    connection.destroy()
    throw err
  }
}

/** Leaves the connection as it is. Rejects when it ends before. */
async function firstLine(connection: Socket): Promise<string> {
  let text = ''
  for await (const chunk of connection.iterator({ destroyOnReturn: false })) {
    text += String(chunk)
    const end = text.indexOf('\n')
    if (end >= 0) return text.slice(0, end)
  }
  throw new Error('it hung up')
}

/** What is longer than a socket's path may be is named through its folder, as long as that takes. */
async function withShortPath<T>(path: string, use: (path: string) => Promise<T>): Promise<T> {
  if (Buffer.byteLength(path) <= MAX_PATH) return use(path)
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    return await use(`/proc/self/fd/${folder}/${basename(path)}`)
  } finally {
    closeSync(folder)
  }
}
