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
import { requireFfi, type Ffi } from './ffi.js'

/*
 * System calls of the data path. Each returns the kernel's result unchanged: a count or a descriptor, or the negative errno.
 * An address must be that of a buffer which the caller keeps referenced.
 */

export interface Syscalls {
  /** socket(2). */
  socket(family: number, type: number, protocol: number): number
  /** bind(2). */
  bind(fd: number, address: number, length: number): number
  /** connect(2). */
  connect(fd: number, address: number, length: number): number
  /** accept4(2), without the peer's address. */
  accept(fd: number, flags: number): number
  /** recv(2). */
  receive(fd: number, address: number, length: number): number
  /** recv(2) with MSG_PEEK: the data stays in the socket. */
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
  /** pipe2(2), non-blocking. @returns undefined if no descriptors are left */
  pipe(): readonly [readEnd: number, writeEnd: number] | undefined
  /** fcntl(2). */
  fcntl(fd: number, command: number, argument: number): number
  /** Sets O_NONBLOCK. */
  setNonBlocking(fd: number): number
  /** Sets the capacity of a pipe, bytes. A user with many pipes gets less, see pipe(7). */
  setPipeSize(fd: number, bytes: number): number
  /** getsockname(2). @param length address of a 32-bit number */
  socketName(fd: number, address: number, length: number): number
  /** getpeername(2). @param length address of a 32-bit number */
  peerName(fd: number, address: number, length: number): number
  /** setsockopt(2) of a number. */
  setOption(fd: number, option: SocketOption, value: number): number
  /** getsockopt(2) of a number, which must not be negative. */
  getOption(fd: number, option: SocketOption): number
  /** Bytes that a TCP socket has not sent yet; a queued end counts as one byte. Or the negative errno. */
  unsentBytes(fd: number): number
  /** Makes the next close(2) reset the connection: SO_LINGER with time 0, see socket(7). */
  resetOnClose(fd: number): number
  /** epoll_create1(2). */
  epollCreate(flags: number): number
  /** epoll_ctl(2). */
  epollControl(epoll: number, operation: number, fd: number, event: number): number
  /** epoll_wait(2). */
  epollWait(epoll: number, events: number, count: number, milliseconds: number): number
  /** Adds one to an eventfd, which wakes a thread that waits for it. */
  signalEventFd(eventfd: number): number
}

let syscalls: Syscalls | undefined

/** @throws Error if there is no FFI on this platform */
export function requireSyscalls(): Syscalls {
  return (syscalls ??= declareSyscalls())
}

/** The C functions. Each returns -1 on failure and sets errno(3). */
function declareFunctions({ declare }: Ffi) {
  return {
    socket: declare('int socket(int family, int type, int protocol)'),
    bind: declare('int bind(int fd, uintptr_t address, uint32_t length)'),
    connect: declare('int connect(int fd, uintptr_t address, uint32_t length)'),
    accept4: declare('int accept4(int fd, uintptr_t address, uintptr_t length, int flags)'),
    recv: declare('intptr_t recv(int fd, uintptr_t buffer, size_t length, int flags)'),
    send: declare('intptr_t send(int fd, uintptr_t buffer, size_t length, int flags)'),
    recvmmsg: declare(
      'int recvmmsg(int fd, uintptr_t messages, unsigned int count, int flags, uintptr_t timeout)',
    ),
    sendmmsg: declare('int sendmmsg(int fd, uintptr_t messages, unsigned int count, int flags)'),
    splice: declare(
      'intptr_t splice(int from, uintptr_t fromOffset, int to, uintptr_t toOffset, size_t length, unsigned int flags)',
    ),
    shutdown: declare('int shutdown(int fd, int how)'),
    close: declare('int close(int fd)'),
    pipe2: declare('int pipe2(uintptr_t ends, int flags)'),
    fcntl: declare('int fcntl(int fd, int command, ...)'),
    getsockname: declare('int getsockname(int fd, uintptr_t address, uintptr_t length)'),
    getpeername: declare('int getpeername(int fd, uintptr_t address, uintptr_t length)'),
    setsockopt: declare(
      'int setsockopt(int fd, int level, int option, uintptr_t value, uint32_t length)',
    ),
    getsockopt: declare(
      'int getsockopt(int fd, int level, int option, uintptr_t value, uintptr_t length)',
    ),
    ioctl: declare('int ioctl(int fd, unsigned long request, uintptr_t argument)'),
    epollCreate: declare('int epoll_create1(int flags)'),
    epollControl: declare('int epoll_ctl(int epoll, int operation, int fd, uintptr_t event)'),
    epollWait: declare('int epoll_wait(int epoll, uintptr_t events, int count, int milliseconds)'),
    write: declare('intptr_t write(int fd, uintptr_t buffer, size_t length)'),
  }
}

function declareSyscalls(): Syscalls {
  const ffi = requireFfi()
  const { addressOf, errno } = ffi
  const c = declareFunctions(ffi)
  const resultOf = (result: number): number => (result < 0 ? -errno() : result)
  const control = (fd: number, command: number, argument: number): number =>
    resultOf(c.fcntl(fd, command, 'int', argument))
  /** Value and length of an option, the ends of a pipe, or the members of struct linger: `l_onoff`, `l_linger`. */
  const numbers = new Int32Array(new ArrayBuffer(2 * SIZE_OF_INT))
  const first = addressOf(numbers)
  const second = first + SIZE_OF_INT
  const one = new BigInt64Array([1n])
  const oneAddress = addressOf(one)

  return {
    socket: (family, type, protocol) => resultOf(c.socket(family, type, protocol)),
    bind: (fd, address, length) => resultOf(c.bind(fd, address, length)),
    connect: (fd, address, length) => resultOf(c.connect(fd, address, length)),
    accept: (fd, flags) => resultOf(c.accept4(fd, 0, 0, flags)),
    receive: (fd, address, length) => resultOf(c.recv(fd, address, length, 0)),
    peek: (fd, address, length) => resultOf(c.recv(fd, address, length, MSG.PEEK)),
    send: (fd, address, length, flags) => resultOf(c.send(fd, address, length, flags)),
    receiveMessages: (fd, messages, count, flags) =>
      resultOf(c.recvmmsg(fd, messages, count, flags, 0)),
    sendMessages: (fd, messages, count, flags) => resultOf(c.sendmmsg(fd, messages, count, flags)),
    splice: (from, to, length, flags) => resultOf(c.splice(from, 0, to, 0, length, flags)),
    shutdown: (fd, how) => resultOf(c.shutdown(fd, how)),
    close: (fd) => resultOf(c.close(fd)),
    pipe() {
      if (c.pipe2(first, O_CLOEXEC | O_NONBLOCK) < 0) return undefined
      const [readEnd = -1, writeEnd = -1] = numbers
      return [readEnd, writeEnd]
    },
    fcntl: control,
    setNonBlocking: (fd) => control(fd, F.SETFL, control(fd, F.GETFL, 0) | O_NONBLOCK),
    setPipeSize: (fd, bytes) => control(fd, F.SETPIPE_SZ, bytes),
    socketName: (fd, address, length) => resultOf(c.getsockname(fd, address, length)),
    peerName: (fd, address, length) => resultOf(c.getpeername(fd, address, length)),
    setOption(fd, [level, name], value) {
      numbers[0] = value
      return resultOf(c.setsockopt(fd, level, name, first, SIZE_OF_INT))
    },
    getOption(fd, [level, name]) {
      numbers[1] = SIZE_OF_INT
      const failed = resultOf(c.getsockopt(fd, level, name, first, second))
      return failed < 0 ? failed : (numbers[0] ?? 0)
    },
    unsentBytes(fd) {
      const failed = resultOf(c.ioctl(fd, SIOCOUTQNSD, first))
      return failed < 0 ? failed : (numbers[0] ?? 0)
    },
    resetOnClose(fd) {
      const [level, name] = OPTION.SO_LINGER
      numbers[0] = 1
      numbers[1] = 0
      return resultOf(c.setsockopt(fd, level, name, first, SIZE_OF_LINGER))
    },
    epollCreate: (flags) => resultOf(c.epollCreate(flags)),
    epollControl: (epoll, operation, fd, event) =>
      resultOf(c.epollControl(epoll, operation, fd, event)),
    epollWait: (epoll, events, count, milliseconds) =>
      resultOf(c.epollWait(epoll, events, count, milliseconds)),
    signalEventFd: (fd) => resultOf(c.write(fd, oneAddress, one.byteLength)),
  }
}
