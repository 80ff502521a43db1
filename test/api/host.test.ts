import t from 'tap'
import { formatHost, parseHost } from '../../src/api/host.js'

t.test('hosts as docker writes them', async (t) => {
  const cases: [string, object][] = [
    ['unix:///run/docker-publish.sock', { kind: 'unix', path: '/run/docker-publish.sock' }],
    ['tcp://127.0.0.1:2385', { kind: 'tcp', ip: '127.0.0.1', port: 2385 }],
    ['tcp://[::1]:2385', { kind: 'tcp', ip: '::1', port: 2385 }],
    ['fd://', { kind: 'fd' }],
    ['ssh://web', { kind: 'ssh', host: 'web' }],
    ['ssh://me@web.test:22', { kind: 'ssh', user: 'me', host: 'web.test', port: 22 }],
  ]
  for (const [text, host] of cases) {
    t.same(parseHost(text), host)
    t.equal(formatHost(parseHost(text)), text)
  }
  t.same(parseHost('tcp://localhost:1'), { kind: 'tcp', ip: '127.0.0.1', port: 1 })
})

t.test('invalid text is refused with the expected form', async (t) => {
  const wrong =
    'run/x,unix://x,unix://,tcp://1.2.3:80,tcp://127.0.0.1,tcp://127.0.0.1:99999,tcp://:80,fd://3,ssh://,ssh://-oProxyCommand=x,ssh://a@-x,npipe:////./x'
  for (const text of wrong.split(',')) {
    t.throws(() => parseHost(text), {
      message: `invalid host "${text}": expected unix:///PATH, tcp://IP:PORT, fd:// (daemon only) or ssh://[USER@]HOST[:PORT] (client only)`,
    })
  }
  t.throws(() => parseHost(`unix:///${'x'.repeat(107)}`), { message: /at most 107 bytes/ })
})
