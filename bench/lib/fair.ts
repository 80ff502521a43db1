import { fork } from 'node:child_process'
import { connect, createServer, type Socket } from 'node:net'

/*
 * A backend whose bulk and whose small answers come from two processes, so that only the proxy can hold the one back for the
 * other; and a client that takes bulk. Each is a process of its own.
 *
 *     fair backend PORT     answers `bulk` with data without end, and all else with itself
 *     fair bulk PORT        asks for bulk, and keeps nothing
 */

const BLOCK = Buffer.alloc(128 * 1024)
const [, program = '', mode, portText] = process.argv
const port = Number(portText)

function pour(socket: Socket): void {
  const write = (): void => {
    while (!socket.destroyed && socket.write(BLOCK));
  }
  socket.on('drain', write)
  write()
}

function serve(): void {
  const pourer = fork(program, ['pourer'])
  createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (first: Buffer) => {
      if (first.toString() === 'bulk') return void pourer.send('bulk', socket)
      socket.write(first)
      socket.pipe(socket)
    })
  }).listen(port, '127.0.0.1')
}

if (mode === 'backend') serve()
if (mode === 'pourer') {
  process.on('message', (_, socket) => {
    const bulk = socket as Socket
    bulk.on('error', () => undefined)
    pour(bulk)
  })
  process.on('disconnect', () => process.exit())
}
if (mode === 'bulk') {
  const socket = connect(port, '127.0.0.1', () => socket.write('bulk'))
  socket.resume()
}
