import { errnoReason } from '../errno.js'
import { CAP, PR } from '../ffi/constants.js'
import { requireFfi } from '../ffi/ffi.js'
import { check } from '../ffi/system-error.js'
import type { Account } from '../accounts.js'

/** _LINUX_CAPABILITY_VERSION_3, see capget(2): 64 capabilities in two groups. */
const VERSION_3 = 0x20080522
/** Size of struct __user_cap_data_struct, and offsets in it, bytes. */
const DATA = { size: 12, effective: 0, permitted: 4 }

/** A capability that a process keeps, see capabilities(7). */
export type Capability = keyof typeof CAP

/**
 * Makes this process run as another user from now on, without the rights of root. Other threads that exist keep no capability; later threads
 * have those of this one.
 * @param kept capabilities that this process still has
 * @throws Error with one sentence: this process is not root, or there is no FFI. Nothing has changed then, unless the kernel fails in the middle.
 */
export function becomeUser({ uid, gid }: Account, kept: readonly Capability[]): void {
  const { control, setCapabilities } = declarePrivileges()
  if (process.geteuid?.() !== 0) throw new Error('only root can become another user')
  // The kernel forgets the signal for the end of the parent with each change of the user, see commit_creds in kernel/cred.c.
  const deathSignal = parentDeathSignal(control)
  const parent = process.ppid
  try {
    if (kept.length > 0) control(PR.SET_KEEPCAPS, 1)
    process.setgroups?.([])
    process.setgid?.(gid)
    process.setuid?.(uid)
    if (kept.length > 0) setCapabilities(kept)
    control(PR.SET_PDEATHSIG, deathSignal)
  } catch (err) {
    throw new Error(`can't become user ${uid}: ${errnoReason(err)}`, { cause: err })
  }
  // The parent may have ended meanwhile.
  if (deathSignal > 0 && process.ppid !== parent) process.kill(process.pid, deathSignal)
}

/** Keeps programs that this process starts from gaining rights, see prctl(2), PR_SET_NO_NEW_PRIVS. @throws Error if there is no FFI */
export function forbidNewPrivileges(): void {
  declarePrivileges().control(PR.SET_NO_NEW_PRIVS, 1)
}

type Control = (option: number, argument: number) => void

function declarePrivileges(): {
  control: Control
  setCapabilities: (kept: readonly Capability[]) => void
} {
  const { addressOf, declare, errno } = requireFfi()
  // All arguments are passed in registers, as with variadic ones.
  const prctl = declare('int prctl(int option, long a, long b, long c, long d)')
  const capset = declare('int capset(uintptr_t header, uintptr_t data)')
  const checked = (name: string, result: number): number =>
    check(name, result < 0 ? -errno() : result)
  return {
    control: (option, argument) => void checked('prctl', prctl(option, argument, 0, 0, 0)),
    setCapabilities(kept) {
      const header = new Uint32Array([VERSION_3, 0])
      const data = Buffer.alloc(2 * DATA.size)
      const bits = kept.reduce((all, name) => all | (1 << CAP[name]), 0)
      const words = new Uint32Array(data.buffer, data.byteOffset, data.length / 4)
      words[DATA.effective / 4] = bits
      words[DATA.permitted / 4] = bits
      checked('capset', capset(addressOf(header), addressOf(data)))
    },
  }
}

/** The signal that the kernel sends when the parent ends; 0 for none. */
function parentDeathSignal(control: Control): number {
  const signal = new Int32Array(1)
  control(PR.GET_PDEATHSIG, requireFfi().addressOf(signal))
  return signal[0] ?? 0
}
