import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { execaSync } from 'execa'
import t, { type Test } from 'tap'
import { NodePoller } from '../../src/linux/sockets/node-poller.js'
import { ControlPipe } from '../../src/proxyd/control-pipe.js'
import { until } from '../lib/until.js'

/** A control pipe, and the requests that it has reported. */
function controlPipe(t: Test) {
  const path = join(t.testdir(), 'control')
  execaSync('mkfifo', [path])
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const requests: string[] = []
  const refused: string[] = []
  const pipe = new ControlPipe(new NodePoller(), fd, {
    request: ({ kind, pid }) => void requests.push(`${kind} ${pid}`),
    invalid: (line) => void refused.push(line),
    failed: (err) => t.fail(String(err)),
  })
  t.teardown(() => {
    pipe.pause()
    closeSync(fd)
  })
  return { pipe, requests, refused, write: (text: string) => writeSync(fd, text) }
}

t.test('requests arrive in order, in whatever pieces', async (t) => {
  const { pipe, requests, refused, write } = controlPipe(t)
  pipe.resume()
  write('\nstart 1\n\nstart 22\n\nst')
  await until(() => requests.length === 2)
  write('op 1')
  write('\n')
  await until(() => requests.length === 3)
  t.strictSame(requests, ['start 1', 'start 22', 'stop 1'])
  t.strictSame(refused, [])
})

t.test('an invalid line is reported, and the next request is read', async (t) => {
  const { pipe, requests, refused, write } = controlPipe(t)
  pipe.resume()
  const none = [
    'start',
    'start 0',
    'start 01',
    'start 1 2',
    'begin 1',
    'stop -1',
    'start 12345678901',
  ]
  for (const line of none) write(`${line}\n`)
  write('without an end')
  write('\nstart 7\n')
  await until(() => requests.length === 1)
  t.strictSame(requests, ['start 7'])
  t.strictSame(refused, [...none, 'without an end'])
})

t.test('a line that never ends is given up', async (t) => {
  const { pipe, requests, refused, write } = controlPipe(t)
  pipe.resume()
  write('x'.repeat(1000))
  await until(() => refused.length === 1)
  write('\nstart 7\n')
  await until(() => requests.length === 1)
  t.strictSame(refused, ['x'.repeat(1000)])
})

t.test('requests wait in the pipe while it is paused', async (t) => {
  const { pipe, requests, write } = controlPipe(t)
  pipe.resume()
  write('\nstart 1\n')
  await until(() => requests.length === 1)
  pipe.pause()
  write('\nstart 2\n')
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  t.strictSame(requests, ['start 1'])
  pipe.resume()
  await until(() => requests.length === 2)
  t.strictSame(requests, ['start 1', 'start 2'])
})
