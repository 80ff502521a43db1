import t from 'tap'
import { EngineWarnings } from '../../src/controller/engine-warnings.js'
import { Containers } from '../../src/docker/containers.js'
import { findEngineHost } from '../../src/docker/engine-host.js'
import { inspectReply, startFakeEngine } from '../lib/fake-engine.js'
import { MemoryLog } from '../lib/memory-log.js'
import { until } from '../lib/until.js'

t.test('a running container without a port that it should have is reported once', async (t) => {
  const engine = await startFakeEngine(t)
  const log = new MemoryLog()
  const reply = inspectReply('a'.repeat(64), 'web_svr01')
  const bindings = { '80/tcp': [{ HostIp: '', HostPort: '8080' }], '53/udp': [{ HostPort: '53' }] }
  const start = (name: string, startedAt: string, parts: object = {}): void => {
    const id = name.padEnd(64, '0')
    engine.containers.set(id, {
      ...reply,
      ...{ Id: id, Name: `/${name}`, State: { Running: true, StartedAt: startedAt } },
      HostConfig: { NetworkMode: 'bridge', PortBindings: bindings },
      ...parts,
    })
    engine.report('container', 'start', id)
  }
  const containers = new Containers(() => findEngineHost({ DOCKER_HOST: engine.host }), log)
  const warnings = new EngineWarnings(containers, log)
  t.teardown(() => {
    containers.close()
    warnings.close()
  })
  containers.start()
  await containers.ready()
  start('web_svr01', '1')
  const published = { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }] }
  start('half', '1', { NetworkSettings: { ...reply.NetworkSettings, Ports: published } })
  start('on_host', '1', { HostConfig: { NetworkMode: 'host', PortBindings: bindings } })
  start('stopped', '1', { State: { Running: false } })
  const own = (): string[] => log.lines.filter((line) => line.startsWith('The container'))
  await until(() => own().length === 2)
  t.strictSame(own().sort(), [
    'The container half runs, but Docker does not publish its ports 53/udp: once their host ports are free, "docker restart half" publishes them',
    'The container web_svr01 runs, but Docker does not publish its ports 80/tcp, 53/udp: once their host ports are free, "docker restart web_svr01" publishes them',
  ])
  start('web_svr01', '2')
  await until(() => own().length === 3)
  t.pass('again after its next start')
})
