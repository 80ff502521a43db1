import { EventEmitter } from 'node:events'
import t, { type Test } from 'tap'
import type { Following } from '../../src/controller/following.js'
import { Nat } from '../../src/controller/nat.js'
import { Publication } from '../../src/controller/publication.js'
import type { PublicationEvent } from '../../src/controller/publication-event.js'
import type { TargetState } from '../../src/docker/target-backends.js'
import { makeFolder } from '../../src/linux/make-folder.js'
import { Allocator } from '../../src/ports/allocator.js'
import { MemoryClaims } from '../../src/ports/claims/memory-claims.js'
import type { Holder } from '../../src/ports/holder.js'
import { parsePortSpec } from '../../src/ports/port-spec.js'
import { exampleContainer } from '../lib/example-container.js'
import { makeFakeProxy } from '../lib/fake-proxy.js'
import { freeRow } from '../lib/free-row.js'
import { MemoryLog } from '../lib/memory-log.js'

const HOLDER: Holder = {
  ...{ kind: 'publication', name: 'web', address: '', backend: '', since: '' },
}

const FOLLOWS: Following = {
  target: { kind: 'container', id: 'c'.repeat(64), name: 'web_svr01' },
  ...{ whenStopped: 'refuse', keep: false },
}

/** The followed container, on an address. */
function runningOn(ip: string): TargetState {
  const container = exampleContainer({ id: 'c'.repeat(64), name: 'web_svr01' })
  return { state: 'running', container, backends: [{ ip, network: 'bridge', container }] }
}

/** A publication of two bound ports that are not served yet. */
async function bindPublication(t: Test) {
  const fake = makeFakeProxy(t)
  makeFolder(fake.runFolder, 0o700)
  const events = new EventEmitter<{ event: [Omit<PublicationEvent, 'time'>] }>()
  const publication = new Publication(
    {
      name: 'web',
      backends: [{ ip: '172.17.0.2' }],
      follows: FOLLOWS,
      created: '2026-11-24T12:00:00.000Z',
    },
    {
      program: fake.program,
      runFolder: fake.runFolder,
      log: new MemoryLog(),
      nat: new Nat(fake.runFolder, undefined, new MemoryLog()),
      onEvent: (event) => events.emit('event', event),
      onChange: () => undefined,
    },
  )
  const claims = new MemoryClaims()
  const first = freeRow(2)
  const requests = parsePortSpec(`127.0.0.1:${first}-${first + 1}:80-81`)
  const bound = await new Allocator(claims).allocate(requests, () => HOLDER)
  t.teardown(() => publication.stop())
  return { publication, bound, claims, events, fake, first }
}

t.test('each port is served by a process, with the flags that dockerd would use', async (t) => {
  const { publication, bound, fake, first } = await bindPublication(t)
  await publication.start(bound)
  t.equal(publication.isolation, 'process')
  t.strictSame(
    fake.starts().sort(),
    [0, 1].map(
      (i) =>
        `-proto tcp -host-ip 127.0.0.1 -host-port ${first + i} -container-ip 172.17.0.2 -container-port ${80 + i} -use-listen-fd`,
    ),
  )
  const { ports } = await publication.view(() => 7)
  t.match(ports, [
    { hostPort: first, containerPort: 80, state: 'up', connections: 7, holdsSocket: true },
    { hostPort: first + 1, containerPort: 81, state: 'up', restarts: 0 },
  ])
  t.notOk('bytesIn' in (ports[0] ?? {}), 'this docker-proxy does not report bytes')
})

t.test('a proxy that takes no orders is replaced when the backend changes', async (t) => {
  const { publication, bound, claims, events, fake, first } = await bindPublication(t)
  await publication.start(bound)
  const restarted: Promise<void> = new Promise((resolve) => {
    let count = 0
    events.on('event', ({ type }) => type === 'proxy-restarted' && ++count === 2 && resolve())
  })
  t.equal(publication.follow(runningOn('172.17.0.9')), 'moved')
  await publication.orderBackends()
  t.same(publication.saved.backends, [{ ip: '172.17.0.9' }])
  t.match(await claims.holderOf({ protocol: 'tcp', ip: '127.0.0.1', port: first }), {
    name: 'web',
    backend: '172.17.0.9:80',
  })
  await restarted
  for (const start of fake.starts().slice(-2)) t.match(start, '-container-ip 172.17.0.9 ')
})

t.test('stop frees the ports and gives the claims back', async (t) => {
  const { publication, bound, claims, first } = await bindPublication(t)
  await publication.start(bound)
  const port = { protocol: 'tcp', ip: '127.0.0.1', port: first } as const
  t.ok(await claims.holderOf(port))
  await publication.stop({ drainMs: 10 })
  t.equal(await claims.holderOf(port), undefined)
  const again = await new Allocator(claims).check(
    parsePortSpec(`127.0.0.1:${first}:80`),
    () => HOLDER,
  )
  t.equal(again.length, 1)
})

t.test('a saved publication is restored with its ids, and its processes are adopted', async (t) => {
  const { publication, bound, fake } = await bindPublication(t)
  await publication.start(bound)
  const { saved } = publication
  publication.leave()
  const next = new Publication(saved, {
    program: fake.program,
    runFolder: fake.runFolder,
    log: new MemoryLog(),
    nat: new Nat(fake.runFolder, undefined, new MemoryLog()),
    onEvent: () => undefined,
    onChange: () => undefined,
  })
  t.teardown(() => next.stop())
  const claims = new MemoryClaims()
  await next.restore(saved.ports, async (port) => {
    const { claim } = await claims.claim(port, HOLDER)
    if (!claim) throw new Error('the port is claimed')
    return claim
  })
  t.same(next.saved, saved)
  t.equal(fake.starts().length, 2, 'no process is started')
  t.equal(new Set(saved.ports.map(({ id }) => id)).size, 2)
  t.match(saved, {
    name: 'web',
    ports: bound.map(({ port, containerPort }) => ({ port, containerPort })),
  })
  t.notOk('shared' in saved)
})
