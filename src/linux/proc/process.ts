import {
  closeSync,
  opendirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  type Dir,
} from 'node:fs'
import { errnoCode } from '../errno.js'

/*
 * Reads /proc about other processes. A process may end at any moment, or belong to another user: then the result is undefined. Any other
 * failure, for example without a free descriptor, throws.
 * Source: proc(5).
 */

/** USER_HZ, the clock of /proc/PID/stat: 100 on every architecture that Node supports. */
const TICKS_PER_SECOND = 100
/* Indexes of fields in /proc/PID/stat after the name, counted from `state`, the third field. */
const STATE = 0
const PARENT = 1
const START_TIME = 19
const IGNORED_SIGNALS = 30

/** Names that are read from a folder at once. */
const NAMES_AT_ONCE = 256

/** When the process began, ticks since boot. Together with the pid it identifies a process. */
export function processStartTime(pid: number): number | undefined {
  const fields = statFields(pid)
  // A zombie has ended, but its parent has not read its status.
  return !fields || fields[STATE] === 'Z' ? undefined : Number(fields[START_TIME])
}

/** The pid of the process's parent. */
export function processParent(pid: number): number | undefined {
  const fields = statFields(pid)
  return fields && Number(fields[PARENT])
}

/** When the process began, milliseconds since the epoch. */
export function processStartDate(pid: number): number | undefined {
  const ticks = processStartTime(pid)
  const boot = /^btime (\d+)$/m.exec(read('/proc/stat') ?? '')?.[1]
  if (ticks === undefined || boot === undefined) return undefined
  return (Number(boot) + ticks / TICKS_PER_SECOND) * 1000
}

/** Whether the process ignores any of these signals. */
export function ignoresSignal(pid: number, signals: readonly number[]): boolean {
  const ignored = BigInt(statFields(pid)?.[IGNORED_SIGNALS] ?? 0)
  return signals.some((signal) => (ignored >> BigInt(signal - 1)) & 1n)
}

/** The network namespace of this process. It never changes: `inNetworkOf` returns at once. */
let ourNetwork: string | undefined

/** Whether the process is in our network namespace, see namespaces(7). @throws SystemError `EACCES`, `ENOENT` */
export function inOurNetwork(pid: number): boolean {
  ourNetwork ??= readlinkSync('/proc/self/ns/net')
  return readlinkSync(`/proc/${pid}/ns/net`) === ourNetwork
}

/** The user that the process runs as. @throws SystemError `ENOENT` if it has ended */
export function processUserId(pid: number): number {
  return statSync(`/proc/${pid}`).uid
}

/** The path of the process's root folder, in its own mount namespace. */
export function rootFolder(pid: number): string {
  return `/proc/${pid}/root`
}

/** The path of the process's current folder. */
export function currentFolder(pid: number): string {
  return `/proc/${pid}/cwd`
}

/** The arguments of the process, the program first. */
export function processCommand(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/cmdline`)
  return text ? text.replace(/\0+$/, '').split('\0') : undefined
}

/**
 * Reads variables of the environment that the process was started with. Searches the bytes, so that thousands of processes leave no
 * garbage.
 */
export function processVariables<Name extends string>(
  pid: number,
  names: readonly Name[],
): { readonly [N in Name]?: string } {
  const environment = readBytes(`/proc/${pid}/environ`)
  const found: { [N in Name]?: string } = {}
  for (const name of names) {
    const assignment = `\0${name}=`
    const start = environment.indexOf(assignment, 0, 'latin1')
    if (start < 0) continue
    const value = start + assignment.length
    found[name] = environment.toString('utf8', value, environment.indexOf(0, value))
  }
  return found
}

/** The names of all variables of that environment that begin with a prefix. */
export function processVariableNames(pid: number, prefix: string): string[] {
  const environment = readBytes(`/proc/${pid}/environ`)
  const names: string[] = []
  for (let at = -1; (at = environment.indexOf(`\0${prefix}`, at + 1, 'latin1')) >= 0;) {
    names.push(environment.toString('utf8', at + 1, environment.indexOf('=', at)))
  }
  return names
}

/** The id of the container that the process runs in, 64 hex digits, from the names that Docker and podman give cgroups. */
export function processContainer(pid: number): string | undefined {
  return /\b(?:docker|libpod|cri-containerd)[-/]([0-9a-f]{64})/.exec(
    read(`/proc/${pid}/cgroup`) ?? '',
  )?.[1]
}

/** The sockets of the process: descriptors and inodes. */
export function processSockets(pid: number): Map<number, number> {
  return new Map(eachSocket(pid))
}

/** The same one by one, for a process that may have thousands. */
export function* eachSocket(pid: number): Generator<[fd: number, inode: number]> {
  for (const name of eachName(`/proc/${pid}/fd`)) {
    let target: string
    try {
      target = readlinkSync(`/proc/${pid}/fd/${name}`)
    } catch {
      continue // Closed meanwhile.
    }
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
    if (inode) yield [Number(name), Number(inode)]
  }
}

/** Names in a folder, read in pieces: a list of ten thousand takes 10 ms. */
function* eachName(path: string): Generator<string> {
  let folder: Dir
  try {
    folder = opendirSync(path, { bufferSize: NAMES_AT_ONCE })
  } catch (err) {
    if (isGoneOrPrivate(err)) return
    throw err
  }
  try {
    for (let entry = folder.readSync(); entry; entry = folder.readSync()) yield entry.name
  } catch (err) {
    if (!isGoneOrPrivate(err)) throw err
  } finally {
    folder.closeSync()
  }
}

export function processIds(): number[] {
  return list('/proc').map(Number).filter(Number.isInteger)
}

/** Identifies this boot: records of an earlier boot are about other processes. */
export function bootId(): string {
  return read('/proc/sys/kernel/random/boot_id')?.trim() ?? ''
}

function statFields(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`)
  // The name in parentheses may contain any character, parentheses included.
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (err) {
    if (isGoneOrPrivate(err)) return undefined
    throw err
  }
}

let block = Buffer.alloc(4096)

/** The content of a file between two zero bytes, valid until the next call. */
function readBytes(path: string): Buffer {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (err) {
    if (isGoneOrPrivate(err)) return Buffer.of(0)
    throw err
  }
  try {
    let end = 1
    for (let count = -1; count !== 0; end += count) {
      if (end === block.length - 1) block = Buffer.concat([block], block.length * 2)
      count = readSync(fd, block, end, block.length - 1 - end, null)
    }
    block[end] = 0
    return block.subarray(0, end + 1)
  } catch (err) {
    if (isGoneOrPrivate(err)) return Buffer.of(0)
    throw err
  } finally {
    closeSync(fd)
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch (err) {
    if (isGoneOrPrivate(err)) return []
    throw err
  }
}

function isGoneOrPrivate(err: unknown): boolean {
  return ['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(errnoCode(err) ?? '')
}
