import { constants } from 'node:os'
import { requireSyscalls } from '../../src/linux/ffi/syscalls.js'
import { MSG, OPTION, SHUT_WR, SOCK } from '../../src/linux/ffi/constants.js'
import { requireFfi } from '../../src/linux/ffi/ffi.js'
import { SOCKET_KINDS } from '../../src/linux/sockets/port-socket.js'
import { familyOf, encodeSocketAddress } from '../../src/linux/sockets/socket-address.js'
import { until } from './until.js'

const { EAGAIN } = constants.errno
/** A flag of send(2). */
export const MSG_OOB = 1

/** Sockets without Node's interpretation: each call returns its result or the negative errno. */
export function rawCalls() {
  const syscalls = requireSyscalls()
  const { addressOf } = requireFfi()
  const buffer = Buffer.alloc(1024)
  const address = addressOf(buffer)
  const raw = {
    /** Connects to a loopback port. TCP is connected when this returns. */
    connect(port: number, ip = '127.0.0.1', protocol: 'tcp' | 'sctp' = 'tcp'): number {
      const to = encodeSocketAddress({ ip, port })
      const { type, number } = SOCKET_KINDS[protocol]
      const fd = syscalls.socket(familyOf(ip), type | SOCK.NONBLOCK | SOCK.CLOEXEC, number)
      syscalls.connect(fd, addressOf(to), to.length)
      return fd
    },
    async accept(fd: number): Promise<number> {
      let answer = -1
      await until(() => (answer = syscalls.accept(fd, SOCK.NONBLOCK | SOCK.CLOEXEC)) >= 0)
      return answer
    },
    receive(fd: number): string | number {
      const count = syscalls.receive(fd, address, buffer.length)
      return count < 0 ? count : buffer.toString('latin1', 0, count)
    },
    /** Waits until there is data, and receives it. */
    async next(fd: number): Promise<string | number> {
      let answer: string | number = -EAGAIN
      await until(() => (answer = raw.receive(fd)) !== -EAGAIN)
      return answer
    },
    send: (fd: number, text: string, flags = 0) =>
      syscalls.send(fd, address, buffer.write(text), MSG.NOSIGNAL | flags),
    /** The pending error of a socket. */
    error: (fd: number) => syscalls.getOption(fd, OPTION.SO_ERROR),
    end: (fd: number) => syscalls.shutdown(fd, SHUT_WR),
    reset(fd: number) {
      syscalls.resetOnClose(fd)
      syscalls.close(fd)
    },
    close: (fd: number) => syscalls.close(fd),
  }
  return raw
}
