import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Controller } from '../../src/controller/controller.js'
import type { PublicationEvent } from '../../src/controller/publication-event.js'
import { RequestError } from '../../src/controller/request-error.js'
import { StateFile } from '../../src/controller/state-file.js'
import { MemoryClaims } from '../../src/ports/claims/memory-claims.js'
import type { HostPort } from '../../src/ports/host-port.js'
import { Refusal } from '../../src/ports/refusal.js'
import { makeFakeProxy } from '../lib/fake-proxy.js'
import { freeRow } from '../lib/free-row.js'
import { until } from '../lib/until.js'
import { MemoryLog } from '../lib/memory-log.js'
import { openDescriptors } from '../lib/proc.js'

const BACKEND = '172.17.0.2'

function startController(t: Test, { takesSocket = true, claims = new MemoryClaims() } = {}) {
  const fake = makeFakeProxy(t, takesSocket)
  const { program, runFolder } = fake
  const state = new StateFile(join(runFolder, '../data'), 'test')
  const options = { program, runFolder, state, claims, log: new MemoryLog() }
  const controller = new Controller(options)
  t.teardown(async () => {
    await controller.close()
    state.close()
  })
  const events: PublicationEvent[] = []
  controller.on('event', (event) => events.push(event))
  return { controller, fake, state, events, options }
}

const exact = (port: number): string => `127.0.0.1:${port}:80`

t.test('a publication is named after its first port, unless it has a name', async (t) => {
  const { controller, events } = startController(t)
  const port = freeRow(2)
  const first = await controller.add({ backend: BACKEND, ports: [exact(port)] })
  t.equal(first.name, `port-${port}`)
  t.match(first.ports, [
    { protocol: 'tcp', hostIp: '127.0.0.1', hostPort: port, containerPort: 80, state: 'up' },
  ])
  const second = await controller.add({ backend: BACKEND, ports: [`127.0.0.2:${port}:80`] })
  t.equal(second.name, `port-${port}-2`)
  const third = await controller.add({ name: 'web', backend: BACKEND, ports: [exact(port + 1)] })
  t.equal(third.name, 'web')
  t.strictSame(
    (await controller.list()).map(({ name }) => name),
    [first.name, second.name, 'web'],
  )
  t.strictSame(
    events.map(({ type, publication }) => [type, publication]),
    [first.name, second.name, 'web'].map((name) => ['published', name]),
  )
})

t.test('errors of invalid requests state the expected form', async (t) => {
  const { controller, fake } = startController(t)
  const cases: [string, object][] = [
    [
      'invalid backend "web": expected an IP address or the name of a container',
      { backend: 'web' },
    ],
    ['invalid backend "fe80::1%lo": expected', { backend: 'fe80::1%lo' }],
    ['invalid backend "::": it stands for all addresses', { backend: '::' }],
    ['invalid backend "239.1.2.3": it is a multicast', { backend: '239.1.2.3' }],
    ['invalid backend "ff02::1": it is a multicast', { backend: 'ff02::1' }],
    ['invalid backend "127.255.255.255": it is a broadcast', { backend: '127.255.255.255' }],
    ['invalid backend "255.255.255.255": it is a broadcast', { backend: '255.255.255.255' }],
    ['invalid backend "fe80::1": a link-local address', { backend: 'fe80::1' }],
    ['invalid name "-x": expected a letter or digit', { name: '-x' }],
    ['isolation "shared" is not possible with', { isolation: 'shared' }],
  ]
  for (const [message, part] of cases) {
    const request = { backend: BACKEND, ports: ['80'], ...part }
    await t.rejects(controller.add(request), RequestError)
    await t.rejects(controller.add(request), { message: new RegExp(`^${message}`) })
  }
  t.strictSame(fake.starts(), [])
})

t.test('a port that would forward to itself is refused, whichever docker-proxy runs', async (t) => {
  const { controller, fake } = startController(t)
  const port = freeRow(1)
  for (const protocol of ['tcp', 'udp']) {
    const request = { backend: '127.0.0.1', ports: [`${port}:${port}/${protocol}`] }
    await t.rejects(controller.add(request), {
      name: 'RequestError',
      message: /that is this proxy itself; choose another host port or container port$/,
    })
    t.same(await controller.check([`${port}:${port}/${protocol}`]), [
      { protocol, ip: '0.0.0.0', port },
      { protocol, ip: '::', port },
    ])
  }
  t.strictSame(fake.starts(), [])
})

t.test('a name is given once, also to requests at the same moment', async (t) => {
  const { controller } = startController(t)
  const port = freeRow(2)
  const results = await Promise.allSettled(
    [port, port + 1].map((each) =>
      controller.add({ name: 'web', backend: BACKEND, ports: [exact(each)] }),
    ),
  )
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  const [refused] = results.filter((result) => result.status === 'rejected')
  t.match(refused?.reason, { code: 'name-in-use' })
  await controller.remove('web')
  await controller.add({ name: 'web', backend: BACKEND, ports: [exact(port), exact(port + 1)] })
})

t.test('when one proxy fails, nothing of the publication stays', async (t) => {
  const { controller, fake, state, events } = startController(t)
  const port = freeRow(2)
  const before = openDescriptors(process.pid)
  fake.failFor(String(port + 1), 'failed to listen: out of luck')
  await t.rejects(
    controller.add({ name: 'web', backend: BACKEND, ports: [exact(port), exact(port + 1)] }),
    { code: 'proxy-failed', message: "can't start the proxy: failed to listen: out of luck" },
  )
  t.strictSame(await controller.list(), [])
  t.strictSame(state.load(), [])
  t.strictSame(readdirSync(fake.runFolder), [])
  t.strictSame(events, [])
  t.equal(openDescriptors(process.pid), before)
  t.equal((await controller.check([exact(port)])).length, 1, 'the ports are free again')
})

t.test('a proxy that loses its port gets another one, if there is a choice', async (t) => {
  const { controller, fake } = startController(t, { takesSocket: false })
  const port = freeRow(3)
  const inUse = `failed to listen on 127.0.0.1:${port}: listen tcp4 127.0.0.1:${port}: bind: address already in use`
  fake.failFor(String(port), inUse)
  await t.rejects(controller.add({ backend: BACKEND, ports: [exact(port)] }), {
    code: 'proxy-failed',
    message: `can't start the proxy: ${inUse}`,
  })
  t.equal(fake.starts().length, 1, 'an exact port leaves no choice')
  await t.rejects(
    controller.add({ backend: BACKEND, ports: [`127.0.0.1:${port}-${port + 1}:80`] }),
    Refusal,
  )
  t.equal(fake.starts().length, 1 + 10, 'as often as dockerd tries')
})

t.test('publications are saved, and a failed save withdraws them', async (t) => {
  const { controller, state } = startController(t)
  const port = freeRow(2)
  await controller.add({ name: 'a', backend: BACKEND, ports: [exact(port)] })
  t.match(state.load(), [
    { name: 'a', backends: [{ ip: BACKEND }], ports: [{ protocol: 'tcp', ip: '127.0.0.1', port }] },
  ])
  t.match(JSON.parse(readFileSync(state.path, 'utf8')), {
    version: 1,
    publications: [
      { backend: BACKEND, ports: [{ hostIp: '127.0.0.1', hostPort: port, containerPort: 80 }] },
    ],
  })
  const save = state.save.bind(state)
  state.save = () => {
    throw new Refusal('state-not-saved', 'no space left on device')
  }
  const refused = { code: 'state-not-saved' }
  await t.rejects(
    controller.add({ name: 'b', backend: BACKEND, ports: [exact(port + 1)] }),
    refused,
  )
  await t.rejects(controller.remove('a'), refused)
  t.match(await controller.list(), [{ name: 'a', ports: [{ state: 'up' }] }])
  state.save = save
  await controller.remove('a')
  t.strictSame(state.load(), [])
})

t.test('an unknown name is refused, and the existing ones are listed', async (t) => {
  const { controller } = startController(t)
  await t.rejects(controller.get('web'), {
    code: 'no-such-publication',
    message: 'no such publication: web (nothing is published)',
  })
  await controller.add({ name: 'api', backend: BACKEND, ports: [exact(freeRow(1))] })
  await t.rejects(controller.remove('web'), {
    message: 'no such publication: web (published: api)',
  })
})

t.test('a conflict names the publication, also one that is being published', async (t) => {
  const claims = new MemoryClaims()
  const { controller } = startController(t, { claims })
  const port = freeRow(1)
  const adding = controller.add({ name: 'web', backend: BACKEND, ports: [exact(port)] })
  const address: HostPort = { protocol: 'tcp', ip: '127.0.0.1', port }
  await until(async () => (await claims.holderOf(address)) !== undefined)
  const conflict = controller.add({ name: 'late', backend: BACKEND, ports: [`${port}:80`] })
  await t.rejects(conflict, {
    code: 'port-allocated',
    message: `Bind for 0.0.0.0:${port} failed: port is already allocated`,
    details: { holder: { kind: 'publication', name: 'web', backend: `${BACKEND}:80` } },
  })
  await adding
})

t.test('claims may be kept elsewhere and answer later', async (t) => {
  const claimed: HostPort[] = []
  class SlowClaims extends MemoryClaims {
    override async claim(...args: Parameters<MemoryClaims['claim']>) {
      await new Promise((resolve) => setImmediate(resolve))
      claimed.push(args[0])
      return super.claim(...args)
    }
  }
  const { controller } = startController(t, { claims: new SlowClaims() })
  const port = freeRow(1)
  const results = await Promise.allSettled(
    ['a', 'b', 'c'].map((name) => controller.add({ name, backend: BACKEND, ports: [exact(port)] })),
  )
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  t.match(
    claimed,
    [1, 2, 3].map(() => ({ ip: '127.0.0.1', port })),
  )
})

t.test('the next controller adopts the processes of one that has left', async (t) => {
  const { controller, fake, options } = startController(t)
  const port = freeRow(1)
  const view = await controller.add({ name: 'web', backend: BACKEND, ports: [exact(port)] })
  await controller.leave()
  const next = new Controller({ ...options, claims: new MemoryClaims() })
  t.teardown(() => next.close())
  const adopted = once(next, 'event')
  await next.restore()
  t.match(await adopted, [{ type: 'adopted', publication: 'web', port: `127.0.0.1:${port}/tcp` }])
  t.match(await next.get('web'), {
    created: view.created,
    ports: [{ hostPort: port, state: 'up', pid: view.ports[0]?.pid, restarts: 0 }],
  })
  t.equal(fake.starts().length, 1)
  await t.rejects(next.add({ backend: BACKEND, ports: [exact(port)] }), { code: 'port-allocated' })
})
