import { closeSync, existsSync } from 'node:fs'
import t from 'tap'
import { requireCalls } from '../../../src/linux/calls.js'
import { MSG, SHUT_WR, SOCK } from '../../../src/linux/constants.js'
import { requireFfi } from '../../../src/linux/ffi.js'
import { openPortSocket } from '../../../src/linux/port-socket.js'
import { localAddress } from '../../../src/linux/socket-name.js'
import { DescriptorBudget } from '../../../src/proxy/descriptor-budget.js'
import { dialer } from '../../../src/proxy/native/dialer.js'
import { openNativeEngine } from '../../../src/proxy/native/engine.js'
import { NodePoller } from '../../../src/linux/node-poller.js'
import { openKernel } from '../../../src/proxy/native/kernel.js'
import type { PublishedPort } from '../../../src/proxy/published-port.js'
import { MemoryLog } from '../../lib/memory-log.js'
import { until } from '../../lib/until.js'

const hasSctp = existsSync('/proc/net/sctp')
const engine = openNativeEngine()
const context = { log: new MemoryLog(), descriptors: new DescriptorBudget() }
const port = (options: Partial<PublishedPort>): PublishedPort => ({
  protocol: 'sctp',
  hostIp: '127.0.0.1',
  hostPort: 0,
  containerIp: '127.0.0.1',
  containerPort: 80,
  ...options,
})

t.test('a kernel without SCTP refuses', { skip: hasSctp && 'it has SCTP' }, async (t) => {
  for (const [hostIp, address] of [
    ['127.0.0.1', '127.0.0.1:80'],
    ['::1', '[::1]:80'],
  ] as const) {
    await t.rejects(engine.listen(port({ hostIp, hostPort: 80 }), context), {
      code: 'EPROTONOSUPPORT',
      message: `failed to listen on ${address}: protocol not supported`,
      hint: 'this kernel has no sctp: load its module, as with modprobe sctp',
    })
  }
})

for (const ip of ['127.0.0.1', '::1']) {
  for (const handedOver of [false, true]) {
    const name = `SCTP over ${ip}${handedOver ? ', by a listening socket handed over' : ''}`
    t.test(name, { skip: !hasSctp && 'this kernel has no SCTP' }, async (t) => {
      const calls = requireCalls()
      const buffer = Buffer.alloc(1024)
      const address = requireFfi().addressOf(buffer)
      const send = (fd: number, text: string): void => {
        t.equal(calls.send(fd, address, buffer.write(text), MSG.NOSIGNAL), text.length)
      }
      const receive = async (fd: number): Promise<string> => {
        let count = -1
        await until(() => (count = calls.receive(fd, address, buffer.length)) >= 0)
        return buffer.toString('latin1', 0, count)
      }

      const backend = openPortSocket('sctp', ip, 0)
      calls.fcntl(backend, 4, SOCK.NONBLOCK)
      t.teardown(() => closeSync(backend))
      const published = port({
        hostIp: ip,
        containerIp: ip,
        containerPort: localAddress(backend)?.port ?? 0,
        ...(handedOver ? { listenFd: openPortSocket('sctp', ip, 0) } : {}),
      })
      const proxy = await engine.listen(published, context)
      t.teardown(() => proxy.close())

      const client = dialer(
        openKernel(() => new NodePoller()),
        port({ containerIp: ip, containerPort: proxy.address.port }),
      )()
      let server = -1
      await until(() => (server = calls.accept(backend, SOCK.NONBLOCK)) >= 0)
      // Several messages at once: a read brings no more than one.
      for (const text of ['one', 'two', 'three']) send(client, text)
      for (const text of ['one', 'two', 'three']) t.equal(await receive(server), text)
      send(server, 'answer')
      t.equal(await receive(client), 'answer')
      calls.shutdown(client, SHUT_WR)
      t.equal(await receive(server), '')
      closeSync(server)
      closeSync(client)
      await until(() => proxy.counters.active === 0)
    })
  }
}
