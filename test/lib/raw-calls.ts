import { requireCalls } from '../../src/linux/calls.js'
import { MSG, SOCK } from '../../src/linux/constants.js'
import { requireFfi } from '../../src/linux/ffi.js'

/** Sockets without Node: each call gives its answer or the negative errno. */
export function rawCalls() {
  const calls = requireCalls()
  const buffer = Buffer.alloc(1024)
  const address = requireFfi().addressOf(buffer)
  return {
    accept: (fd: number) => calls.accept(fd, SOCK.NONBLOCK | SOCK.CLOEXEC),
    receive(fd: number): string | number {
      const count = calls.receive(fd, address, buffer.length)
      return count < 0 ? count : buffer.toString('latin1', 0, count)
    },
    send: (fd: number, text: string) => calls.send(fd, address, buffer.write(text), MSG.NOSIGNAL),
    reset(fd: number) {
      calls.resetOnClose(fd)
      calls.close(fd)
    },
    close: (fd: number) => calls.close(fd),
  }
}
