import t from 'tap'
import { requireSyscalls } from '../../../src/linux/ffi/syscalls.js'
import { requireCheckedSyscalls } from '../../../src/linux/ffi/checked-syscalls.js'
import { Ring, ringMemory } from '../../../src/proxy/native/ring.js'

const CAPACITY = 8

t.test('numbers arrive in order, also when the ring wraps around', (t) => {
  const syscalls = requireSyscalls()
  const eventFd = requireCheckedSyscalls().openEventFd()
  t.teardown(() => syscalls.close(eventFd))
  let signals = 0
  const counting = {
    ...syscalls,
    signalEventFd(fd: number) {
      signals++
      return syscalls.signalEventFd(fd)
    },
  }
  const memory = ringMemory(CAPACITY, eventFd)
  const sender = new Ring(counting, memory)
  const receiver = new Ring(syscalls, memory)
  const sent: number[] = []
  const received: number[] = []
  for (let burst = 1; burst <= CAPACITY; burst++) {
    for (let i = 0; i < burst; i++) {
      sent.push(sent.length - 3)
      sender.send(sent.length - 4)
    }
    receiver.receive((number) => received.push(number))
    t.equal(signals, burst, 'the eventfd is signalled once until all numbers are taken')
  }
  t.same(received, sent)
  receiver.receive(() => t.fail('nothing more was sent'))
  t.end()
})

t.test('a number that is sent while others are taken is taken as well', (t) => {
  const memory = ringMemory(CAPACITY, -1)
  const syscalls = { ...requireSyscalls(), signalEventFd: () => 0 }
  const sender = new Ring(syscalls, memory)
  const receiver = new Ring(syscalls, memory)
  const received: number[] = []
  sender.send(1)
  receiver.receive((number) => {
    received.push(number)
    if (number < 20) sender.send(number + 1)
  })
  t.equal(received.length, 20)
  t.end()
})
