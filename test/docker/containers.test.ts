import { once } from 'node:events'
import t, { type Test } from 'tap'
import { Containers } from '../../src/docker/containers.js'
import { parseEngineHost } from '../../src/docker/engine-host.js'
import { deferred } from '../../src/deferred.js'
import { inspectReply, startFakeEngine, type FakeEngine } from '../lib/fake-engine.js'
import { MemoryLog } from '../lib/memory-log.js'
import { until } from '../lib/until.js'

const [WEB, DB] = ['a'.repeat(64), 'b'.repeat(64)] as [string, string]

async function follow(t: Test, prepare: (engine: FakeEngine) => void = () => undefined) {
  const engine = await startFakeEngine(t)
  engine.containers.set(WEB, inspectReply(WEB, 'web'))
  prepare(engine)
  const log = new MemoryLog()
  const containers = new Containers(
    () => parseEngineHost(engine.host, 'DOCKER_HOST', undefined),
    log,
  )
  containers.start()
  t.teardown(() => containers.close())
  await containers.ready()
  return { engine, containers, log }
}

t.test('all containers are listed, with the version of the engine', async (t) => {
  const { engine, containers } = await follow(t)
  t.match(containers.all, [
    {
      ...{ name: 'web', isRunning: true, exposed: [{ protocol: 'tcp', port: 80 }] },
      networks: [{ name: 'bridge', ip: '172.17.0.2' }],
    },
  ])
  t.equal(containers.runningOn('172.17.0.2')?.name, 'web')
  t.equal(containers.runningOn('172.17.0.3'), undefined)
  t.ok(engine.requests.includes('/v1.41/containers/json?all=1'))
})

t.test('the end of a container counts before the engine is asked again', async (t) => {
  const { engine, containers } = await follow(t)
  const gate = deferred()
  engine.inspecting = gate.promise
  engine.report('container', 'die', WEB)
  await once(containers, 'changed')
  t.equal(containers.byId(WEB)?.isRunning, false)
  engine.containers.set(WEB, inspectReply(WEB, 'web', '172.17.0.9'))
  engine.report('container', 'start', WEB)
  gate.resolve()
  await until(() => containers.runningOn('172.17.0.9') !== undefined)
})

t.test('an inspection that began before the end of a container is not believed', async (t) => {
  const { engine, containers } = await follow(t)
  const gate = deferred()
  engine.inspecting = gate.promise
  engine.report('container', 'rename', WEB)
  await until(() => engine.requests.filter((path) => path.includes(`/${WEB}/`)).length === 2)
  engine.report('container', 'die', WEB)
  await once(containers, 'changed')
  engine.containers.set(WEB, inspectReply(WEB, 'web', ''))
  const states: (boolean | undefined)[] = []
  containers.on('changed', () => states.push(containers.byId(WEB)?.isRunning))
  gate.resolve()
  await until(() => states.length > 0)
  t.ok(states.every((isRunning) => isRunning === false))
})

t.test('an address that a network has taken back is dropped at once', async (t) => {
  const { engine, containers } = await follow(t)
  const gate = deferred()
  engine.inspecting = gate.promise
  engine.report('network', 'disconnect', 'bridge-id', { container: WEB })
  await once(containers, 'changed')
  t.same(containers.byId(WEB)?.networks, [])
  gate.resolve()
  await until(() => containers.byId(WEB)?.networks.length === 1)
})

t.test('Podman does not tell which network has taken an address back', async (t) => {
  const { engine, containers } = await follow(t)
  const gate = deferred()
  engine.inspecting = gate.promise
  engine.report('network', 'disconnect', WEB)
  await once(containers, 'changed')
  t.same(containers.byId(WEB)?.networks, [])
  gate.resolve()
  await until(() => containers.byId(WEB)?.networks.length === 1)
})

t.test(
  'after a lost connection everything is listed again, whatever events were lost',
  async (t) => {
    const { engine, containers, log } = await follow(t)
    engine.containers.delete(WEB)
    engine.containers.set(DB, inspectReply(DB, 'db', '172.17.0.3'))
    engine.endEvents()
    await until(() => containers.all.length === 1 && containers.byId(DB) !== undefined)
    t.ok(containers.isConnected)
    t.match(log.lines.join('\n'), /Lost the Docker Engine, and waits for it/)
  },
)

t.test('an event that is no JSON ends the connection, and the list corrects it', async (t) => {
  const { engine, containers } = await follow(t)
  engine.send('nonsense\n')
  await until(() => !containers.isConnected)
  await containers.ready()
  t.equal(containers.all.length, 1)
})

t.test('what is removed is forgotten, and other events are ignored', async (t) => {
  const { engine, containers } = await follow(t)
  const asked = engine.requests.length
  engine.report('container', 'exec_create: ls', WEB)
  engine.report('image', 'delete', WEB)
  engine.containers.delete(WEB)
  engine.report('container', 'destroy', WEB)
  await until(() => containers.all.length === 0)
  t.equal(engine.requests.length, asked + 1)
  t.ok(await containers.listAgain())
})

t.test('without an engine: the reason, and no list', async (t) => {
  const folder = t.testdir({})
  const containers = new Containers(
    () => ({ kind: 'unix', path: `${folder}/none` }),
    new MemoryLog(),
  )
  t.teardown(() => containers.close())
  containers.start()
  await t.rejects(containers.ready(), {
    message: `can't ask unix://${folder}/none: no such file or directory`,
  })
  t.equal(containers.wasListed, false)
  t.equal(await containers.listAgain(), false)
})

t.test('a network is known by its id and by its name', async (t) => {
  const { containers } = await follow(t)
  for (const key of ['bridge-id', 'bridge', 'podman']) {
    t.strictSame(containers.networks.get(key), { driver: 'bridge', isInternal: false }, key)
  }
})

t.test(
  'many questions about ingress ports are one request, and an engine that hangs delays one',
  async (t) => {
    const service = {
      Spec: { Name: 'shop_web' },
      Endpoint: { Ports: [{ Protocol: 'tcp', PublishedPort: 8080, TargetPort: 80 }] },
    }
    const { engine, containers } = await follow(t, (engine) => (engine.services = [service]))
    const requests = (): number =>
      engine.requests.filter((path) => path.includes('services')).length
    const ask = () => Promise.all(Array.from({ length: 50 }, () => containers.recentIngressPorts()))
    for (const ports of await ask()) t.match(ports, [{ service: 'shop_web', port: 8080 }])
    t.equal(requests(), 1)
    const gate = deferred()
    engine.listing = gate.promise
    await until(async () => {
      await ask()
      return requests() === 2
    })
    for (const ports of await ask()) t.match(ports, [{ port: 8080 }], 'the last known ones')
    t.equal(requests(), 2)
    gate.resolve()
  },
)
