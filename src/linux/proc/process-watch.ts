import { closeSync } from 'node:fs'
import { EPOLL } from '../ffi/constants.js'
import { requireCheckedSyscalls } from '../ffi/checked-syscalls.js'
import { NodePoller } from '../sockets/node-poller.js'

/** Reports the ends of processes that are not our children, at once: the kernel makes their pidfds readable, see pidfd_open(2). */
export class ProcessWatch {
  #poller: NodePoller | undefined

  /**
   * @param ended called once when the process has ended; it must not throw
   * @returns a function that stops watching
   * @throws SystemError `ESRCH` if there is no such process, `EMFILE`; Error if there is no FFI
   */
  watch(pid: number, ended: () => void): () => void {
    const poller = (this.#poller ??= new NodePoller())
    const fd = requireCheckedSyscalls().openPidFd(pid)
    let isWatched = true
    const stop = (): void => {
      if (!isWatched) return
      isWatched = false
      poller.close(fd)
    }
    const onReady = (): void => {
      stop()
      ended()
    }
    try {
      poller.watch(fd, EPOLL.IN, { onReady, onError: onReady })
    } catch (err) {
      closeSync(fd)
      throw err
    }
    return stop
  }
}
