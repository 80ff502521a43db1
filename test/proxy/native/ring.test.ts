import t from 'tap'
import { requireCalls } from '../../../src/linux/calls.js'
import { requireLibc } from '../../../src/linux/libc.js'
import { Ring, ringMemory } from '../../../src/proxy/native/ring.js'

const CAPACITY = 8

t.test('numbers arrive in order, however often the ring goes round', (t) => {
  const calls = requireCalls()
  const bell = requireLibc().openBell()
  t.teardown(() => calls.close(bell))
  let rung = 0
  const counting = {
    ...calls,
    wake(fd: number) {
      rung++
      return calls.wake(fd)
    },
  }
  const memory = ringMemory(CAPACITY, bell)
  const sender = new Ring(counting, memory)
  const receiver = new Ring(calls, memory)
  const sent: number[] = []
  const received: number[] = []
  for (let burst = 1; burst <= CAPACITY; burst++) {
    for (let i = 0; i < burst; i++) {
      sent.push(sent.length - 3)
      sender.send(sent.length - 4)
    }
    receiver.receive((number) => received.push(number))
    t.equal(rung, burst, 'the bell rings once for all that was not taken yet')
  }
  t.same(received, sent)
  receiver.receive(() => t.fail('there is nothing more'))
  t.end()
})

t.test('what comes while others are taken is taken as well', (t) => {
  const memory = ringMemory(CAPACITY, -1)
  const calls = { ...requireCalls(), wake: () => 0 }
  const sender = new Ring(calls, memory)
  const receiver = new Ring(calls, memory)
  const received: number[] = []
  sender.send(1)
  receiver.receive((number) => {
    received.push(number)
    if (number < 20) sender.send(number + 1)
  })
  t.equal(received.length, 20)
  t.end()
})
