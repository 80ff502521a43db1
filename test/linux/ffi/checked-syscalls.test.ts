import { closeSync, fstatSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { loadCheckedSyscalls } from '../../../src/linux/ffi/checked-syscalls.js'
import { dial, listeningDescriptor } from '../../lib/sockets.js'

const syscalls = loadCheckedSyscalls()

t.test('a copy of a descriptor is the same open file', async (t) => {
  const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
  const copy = syscalls?.duplicate(fd) ?? -1
  t.ok(copy > 2)
  t.equal(fstatSync(copy).ino, fstatSync(fd).ino)
  t.equal(syscalls?.isListening(copy), true)
  closeSync(fd)
  await dial(t, port)
  closeSync(copy)
  t.equal(syscalls?.duplicate(copy), undefined)
})

t.test('recognises a listening socket', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = await dial(t, (server.address() as AddressInfo).port)
  const { _handle: handle } = client as typeof client & { _handle?: { fd: number } }
  t.equal(syscalls?.isListening(handle?.fd ?? -1), false)
  t.equal(syscalls?.isListening(-1), undefined)
  server.close()
})
