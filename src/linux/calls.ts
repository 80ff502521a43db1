import {
  F,
  MSG,
  O_CLOEXEC,
  O_NONBLOCK,
  OPTION,
  SIOCOUTQNSD,
  SIZE_OF_INT,
  SIZE_OF_LINGER,
  type SocketOption,
} from './constants.js'
import { requireFfi } from './ffi.js'

/*
 * System calls of the data path. Each gives the kernel's answer as it is: a count or a descriptor, or the negative errno.
 * Addresses are those of buffers that the caller keeps.
 */

export interface Calls {
  /** socket(2). */
  socket(family: number, type: number, protocol: number): number
  /** connect(2). */
  connect(fd: number, address: number, length: number): number
  /** accept4(2), without the peer's address. */
  accept(fd: number, flags: number): number
  /** recv(2). */
  receive(fd: number, address: number, length: number): number
  /** recv(2) that leaves what it finds. */
  peek(fd: number, address: number, length: number): number
  /** send(2). */
  send(fd: number, address: number, length: number, flags: number): number
  /** recvmmsg(2), without a time limit. */
  receiveMessages(fd: number, messages: number, count: number, flags: number): number
  /** sendmmsg(2). */
  sendMessages(fd: number, messages: number, count: number, flags: number): number
  /** splice(2), without offsets. */
  splice(from: number, to: number, length: number, flags: number): number
  /** shutdown(2). */
  shutdown(fd: number, how: number): number
  /** close(2). */
  close(fd: number): number
  /** pipe2(2), not blocking: its ends to read from and to write to; undefined when there are no descriptors for them. */
  pipe(): readonly [readEnd: number, writeEnd: number] | undefined
  /** fcntl(2). */
  fcntl(fd: number, command: number, argument: number): number
  /** Has calls on it return rather than wait. */
  setNonBlocking(fd: number): number
  /** Room in a pipe, bytes; others than root get less once they have many, see pipe(7). */
  setPipeSize(fd: number, bytes: number): number
  /** getsockname(2) and getpeername(2); `length` is the address of a number of 32 bits. */
  socketName(fd: number, address: number, length: number): number
  peerName(fd: number, address: number, length: number): number
  /** setsockopt(2) with a number. */
  setOption(fd: number, option: SocketOption, value: number): number
  /** getsockopt(2) of a number that is not negative. */
  option(fd: number, option: SocketOption): number
  /** How many bytes a TCP socket has not sent yet, its end counted as one; or the negative errno. */
  unsent(fd: number): number
  /** Has the next close(2) reset the connection: SO_LINGER of no time, see socket(7). */
  resetOnClose(fd: number): number
  /** epoll_create1(2), epoll_ctl(2), epoll_wait(2). */
  epollCreate(flags: number): number
  epollControl(epoll: number, operation: number, fd: number, event: number): number
  epollWait(epoll: number, events: number, count: number, milliseconds: number): number
  /** Adds one to an eventfd: whoever waits for it wakes. */
  wake(eventfd: number): number
}

let calls: Calls | undefined

/** @throws Error where there is no FFI */
export function requireCalls(): Calls {
  return (calls ??= declareCalls())
}

function declareCalls(): Calls {
  const { declare, errno, addressOf } = requireFfi()
  const socket = declare('int socket(int family, int type, int protocol)')
  const connect = declare('int connect(int fd, uintptr_t address, uint32_t length)')
  const accept4 = declare('int accept4(int fd, uintptr_t address, uintptr_t length, int flags)')
  const recv = declare('intptr_t recv(int fd, uintptr_t buffer, size_t length, int flags)')
  const send = declare('intptr_t send(int fd, uintptr_t buffer, size_t length, int flags)')
  const recvmmsg = declare(
    'int recvmmsg(int fd, uintptr_t messages, unsigned int count, int flags, uintptr_t timeout)',
  )
  const sendmmsg = declare(
    'int sendmmsg(int fd, uintptr_t messages, unsigned int count, int flags)',
  )
  const splice = declare(
    'intptr_t splice(int from, uintptr_t fromOffset, int to, uintptr_t toOffset, size_t length, unsigned int flags)',
  )
  const shutdown = declare('int shutdown(int fd, int how)')
  const close = declare('int close(int fd)')
  const pipe2 = declare('int pipe2(uintptr_t ends, int flags)')
  const fcntl = declare('int fcntl(int fd, int command, ...)')
  const getsockname = declare('int getsockname(int fd, uintptr_t address, uintptr_t length)')
  const getpeername = declare('int getpeername(int fd, uintptr_t address, uintptr_t length)')
  const setsockopt = declare(
    'int setsockopt(int fd, int level, int option, uintptr_t value, uint32_t length)',
  )
  const getsockopt = declare(
    'int getsockopt(int fd, int level, int option, uintptr_t value, uintptr_t length)',
  )
  const ioctl = declare('int ioctl(int fd, unsigned long request, uintptr_t argument)')
  const epollCreate = declare('int epoll_create1(int flags)')
  const epollControl = declare('int epoll_ctl(int epoll, int operation, int fd, uintptr_t event)')
  const epollWait = declare(
    'int epoll_wait(int epoll, uintptr_t events, int count, int milliseconds)',
  )
  const write = declare('intptr_t write(int fd, uintptr_t buffer, size_t length)')

  const answer = (result: number): number => (result < 0 ? -errno() : result)
  const control = (fd: number, command: number, argument: number): number =>
    answer(fcntl(fd, command, 'int', argument))
  /** The value and the length of an option, the ends of a pipe, or the two members of struct linger: `l_onoff`, `l_linger`. */
  const numbers = new Int32Array(new ArrayBuffer(2 * SIZE_OF_INT))
  const first = addressOf(numbers)
  const second = first + SIZE_OF_INT
  const one = new BigInt64Array([1n])
  const oneAddress = addressOf(one)

  return {
    socket: (family, type, protocol) => answer(socket(family, type, protocol)),
    connect: (fd, address, length) => answer(connect(fd, address, length)),
    accept: (fd, flags) => answer(accept4(fd, 0, 0, flags)),
    receive: (fd, address, length) => answer(recv(fd, address, length, 0)),
    peek: (fd, address, length) => answer(recv(fd, address, length, MSG.PEEK)),
    send: (fd, address, length, flags) => answer(send(fd, address, length, flags)),
    receiveMessages: (fd, messages, count, flags) =>
      answer(recvmmsg(fd, messages, count, flags, 0)),
    sendMessages: (fd, messages, count, flags) => answer(sendmmsg(fd, messages, count, flags)),
    splice: (from, to, length, flags) => answer(splice(from, 0, to, 0, length, flags)),
    shutdown: (fd, how) => answer(shutdown(fd, how)),
    close: (fd) => answer(close(fd)),
    pipe() {
      if (pipe2(first, O_CLOEXEC | O_NONBLOCK) < 0) return undefined
      const [readEnd = -1, writeEnd = -1] = numbers
      return [readEnd, writeEnd]
    },
    fcntl: control,
    setNonBlocking: (fd) => control(fd, F.SETFL, control(fd, F.GETFL, 0) | O_NONBLOCK),
    setPipeSize: (fd, bytes) => control(fd, F.SETPIPE_SZ, bytes),
    socketName: (fd, address, length) => answer(getsockname(fd, address, length)),
    peerName: (fd, address, length) => answer(getpeername(fd, address, length)),
    setOption(fd, [level, name], value) {
      numbers[0] = value
      return answer(setsockopt(fd, level, name, first, SIZE_OF_INT))
    },
    option(fd, [level, name]) {
      numbers[1] = SIZE_OF_INT
      const failed = answer(getsockopt(fd, level, name, first, second))
      return failed < 0 ? failed : (numbers[0] ?? 0)
    },
    unsent(fd) {
      const failed = answer(ioctl(fd, SIOCOUTQNSD, first))
      return failed < 0 ? failed : (numbers[0] ?? 0)
    },
    resetOnClose(fd) {
      const [level, name] = OPTION.SO_LINGER
      numbers[0] = 1
      numbers[1] = 0
      return answer(setsockopt(fd, level, name, first, SIZE_OF_LINGER))
    },
    epollCreate: (flags) => answer(epollCreate(flags)),
    epollControl: (epoll, operation, fd, event) =>
      answer(epollControl(epoll, operation, fd, event)),
    epollWait: (epoll, events, count, milliseconds) =>
      answer(epollWait(epoll, events, count, milliseconds)),
    wake: (fd) => answer(write(fd, oneAddress, one.byteLength)),
  }
}
