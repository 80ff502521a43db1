import { closeSync } from 'node:fs'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { requireSyscalls } from '../../../src/linux/ffi/syscalls.js'
import { EPOLL, SOCK } from '../../../src/linux/ffi/constants.js'
import type { Pollable } from '../../../src/linux/sockets/poller.js'
import { NodePoller } from '../../../src/linux/sockets/node-poller.js'
import { countOpenDescriptors } from '../../../src/linux/proc/descriptors.js'
import { openPortSocket } from '../../../src/linux/sockets/port-socket.js'
import { localAddress } from '../../../src/linux/sockets/endpoints.js'
import { until } from '../../lib/until.js'

const syscalls = requireSyscalls()
const accept = (fd: number): number => syscalls.accept(fd, SOCK.NONBLOCK | SOCK.CLOEXEC)

/** A listening socket, and a way to connect to it. */
function listener(t: Test): { fd: number; readonly dial: () => void } {
  const fd = openPortSocket({ protocol: 'tcp', ip: '127.0.0.1', port: 0 })
  const port = localAddress(fd)?.port ?? 0
  return {
    fd,
    dial() {
      const client = connect(port, '127.0.0.1').on('error', () => undefined)
      t.teardown(() => client.destroy())
    },
  }
}

/** Resolves with the first events, and counts all. */
function watcher(ready: (events: number) => void = () => undefined): Pollable & {
  syscalls: number
  failures: unknown[]
} {
  return {
    syscalls: 0,
    failures: [],
    onReady(events) {
      this.syscalls++
      ready(events)
    },
    onError(err) {
      this.failures.push(err)
    },
  }
}

t.test('events arrive in Node, beside timers and promises', async (t) => {
  const poller = new NodePoller()
  const { fd, dial } = listener(t)
  const events = new Promise<number>((resolve) => poller.watch(fd, EPOLL.IN, watcher(resolve)))
  dial()
  t.equal(await events, EPOLL.IN)
  poller.close(fd)
})

t.test('an exception ends one, and no more', async (t) => {
  const poller = new NodePoller()
  const broken = listener(t)
  const sound = listener(t)
  const thrower = watcher(() => {
    poller.unwatch(broken.fd)
    throw new Error('a fault')
  })
  poller.watch(broken.fd, EPOLL.IN, thrower)
  const reached = new Promise<number>((resolve) =>
    poller.watch(sound.fd, EPOLL.IN, watcher(resolve)),
  )
  broken.dial()
  sound.dial()
  await reached
  await until(() => thrower.failures.length > 0)
  t.match(thrower.failures, [{ message: 'a fault' }])
  closeSync(broken.fd)
  poller.close(sound.fd)
})

t.test('a deferred pollable runs once, after the others', async (t) => {
  const poller = new NodePoller()
  let events: number | undefined
  const done = new Promise<void>((resolve) => {
    const pollable = watcher((seen) => {
      events = seen
      resolve()
    })
    poller.defer(pollable)
  })
  t.equal(events, undefined)
  await done
  t.equal(events, 0)
})

t.test(
  'an event of a closed descriptor is not delivered to a new one with the same number',
  async (t) => {
    const poller = new NodePoller()
    const other = listener(t)
    const second = watcher()
    let reused = -1
    // Both are ready at once. The first one closes the other, whose number is then used again.
    const swap = (mine: number, theirs: number) => (): void => {
      if (reused >= 0) return
      poller.close(theirs)
      reused = openPortSocket({ protocol: 'tcp', ip: '127.0.0.1', port: 0 })
      t.equal(reused, theirs, 'the number is used again')
      poller.watch(reused, EPOLL.IN, second)
      accept(mine)
    }
    const third = listener(t)
    poller.watch(other.fd, EPOLL.IN, watcher(swap(other.fd, third.fd)))
    poller.watch(third.fd, EPOLL.IN, watcher(swap(third.fd, other.fd)))
    other.dial()
    third.dial()
    await until(() => reused >= 0)
    for (let i = 0; i < 5; i++) await new Promise(setImmediate)
    t.equal(second.syscalls, 0)
    poller.close(reused)
    poller.close(other.fd === reused ? third.fd : other.fd)
  },
)

t.test('a socket that lives on elsewhere can be forgotten', async (t) => {
  const poller = new NodePoller()
  const { fd, dial } = listener(t)
  const forgotten = watcher()
  poller.watch(fd, EPOLL.IN, forgotten)
  poller.unwatch(fd)
  const again = new Promise<number>((resolve) => poller.watch(fd, EPOLL.IN, watcher(resolve)))
  dial()
  await again
  t.equal(forgotten.syscalls, 0)
  poller.close(fd)
})

t.test('descriptors are closed with it', async (t) => {
  const poller = new NodePoller()
  const before = countOpenDescriptors()
  const { fd } = listener(t)
  poller.watch(fd, EPOLL.IN, watcher())
  poller.close(fd)
  poller.close(-1)
  t.equal(countOpenDescriptors(), before)
})
