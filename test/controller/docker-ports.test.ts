import t from 'tap'
import { formatAll } from '../../src/cli/publication-table.js'
import { listDockerPorts } from '../../src/controller/docker-ports.js'
import { Containers } from '../../src/docker/containers.js'
import { findEngineHost } from '../../src/docker/engine-host.js'
import { freeRow } from '../lib/free-row.js'
import { inspectReply, startFakeEngine } from '../lib/fake-engine.js'
import { MemoryLog } from '../lib/memory-log.js'

t.test(
  'ports that dockerd publishes without a proxy, and those of a swarm, are listed',
  async (t) => {
    const engine = await startFakeEngine(t)
    const [web, ingress] = [freeRow(1), freeRow(1)]
    const reply = inspectReply('a'.repeat(64), 'front')
    const startedAt = '2026-11-24T12:00:00.000Z'
    engine.containers.set(reply.Id, {
      ...reply,
      State: { Running: true, StartedAt: startedAt },
      Config: {
        Labels: { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': 'web' },
      },
      NetworkSettings: {
        ...reply.NetworkSettings,
        Ports: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: String(web) }] },
      },
    })
    engine.services = [
      {
        CreatedAt: startedAt,
        Spec: { Name: 'stack_api' },
        Endpoint: {
          Ports: [
            { Protocol: 'tcp', TargetPort: 80, PublishedPort: ingress, PublishMode: 'ingress' },
            { Protocol: 'tcp', TargetPort: 81, PublishedPort: 1, PublishMode: 'host' },
          ],
        },
      },
      { Spec: { Name: 'without_ports' } },
    ]
    const containers = new Containers(
      () => findEngineHost({ DOCKER_HOST: engine.host }),
      new MemoryLog(),
    )
    t.teardown(() => containers.close())
    containers.start()
    await containers.ready()
    const listed = await listDockerPorts(undefined, containers)
    const own = listed.filter(({ hostPort }) => [web, ingress].includes(hostPort))
    const common = { protocol: 'tcp', hostIp: '0.0.0.0', since: startedAt, connections: 0 }
    t.strictSame(own, [
      {
        ...{ ...common, hostPort: web, containerPort: 80, containerIp: '172.17.0.2' },
        ...{ container: 'front', project: 'shop' },
      },
      { ...common, hostPort: ingress, containerPort: 80, containerIp: '', service: 'stack_api' },
    ])
    t.notOk(
      listed.some(({ hostPort }) => hostPort === 1),
      'a container publishes it, and no service',
    )
    const table = formatAll([], own, Date.parse(startedAt) + 5000)
    t.match(
      table,
      /^front \(docker, compose project shop\) +172\.17\.0\.2 .* up, without a proxy +- +- /m,
    )
    t.match(table, /^stack_api \(docker, swarm service\) .* up, without a proxy /m)

    engine.services = undefined
    const withoutSwarm = await listDockerPorts(undefined, containers)
    t.notOk(withoutSwarm.some(({ hostPort }) => hostPort === ingress))
  },
)
