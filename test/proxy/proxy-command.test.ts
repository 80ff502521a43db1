import t from 'tap'
import { parseProxyCommand, proxyFlags } from '../../src/proxy/proxy-command.js'

const FLAGS = [
  '-proto',
  'tcp',
  '-host-ip',
  '0.0.0.0',
  '-host-port',
  '8080',
  '-container-ip',
  '172.17.0.2',
  '-container-port',
  '80',
]

t.test(
  'a docker-proxy is recognised by itself, behind an interpreter, and by its title',
  async (t) => {
    const commands: [string, string[]][] = [
      ['the original', ['/usr/bin/docker-proxy', ...FLAGS]],
      ['a launcher', ['/bin/sh', '/opt/dist/docker-proxy', ...FLAGS]],
      ['a launcher under busybox', ['busybox', 'ash', '/opt/my dist/docker-proxy', ...FLAGS]],
      ['a process that has changed its title', [`/opt/dist/docker-proxy ${FLAGS.join(' ')}`]],
    ]
    for (const [name, command] of commands) {
      t.strictSame(parseProxyCommand(command)?.args, FLAGS, name)
      t.match(
        proxyFlags(command),
        { protocol: 'tcp', ip: '0.0.0.0', port: 8080, container: { ip: '172.17.0.2', port: 80 } },
        name,
      )
    }
  },
)

t.test('other processes are not', async (t) => {
  for (const command of [
    [],
    ['nginx'],
    ['/usr/bin/docker-proxyd', ...FLAGS],
    ['vi', '-c', 'x', '/usr/bin/docker-proxy'],
    ['timeout', '9', '/usr/bin/docker-proxy', ...FLAGS],
    ['nohup', '/usr/bin/docker-proxy', ...FLAGS],
    ['node', '/opt/docker-proxy-process', ...FLAGS],
  ]) {
    t.equal(parseProxyCommand(command), undefined, command.join(' '))
    t.equal(proxyFlags(command), undefined)
  }
  t.equal(proxyFlags(['docker-proxy', 'serve']), undefined, 'another program of that name')
  t.equal(proxyFlags(['docker-proxy', '-no-such-flag']), undefined)
})
