import { once } from 'node:events'
import { EventEmitter } from 'node:events'
import t, { type Test } from 'tap'
import { Publication } from '../../src/controller/publication.js'
import type { PublicationEvent } from '../../src/controller/publication-event.js'
import { makeFolder } from '../../src/linux/make-folder.js'
import { Allocator } from '../../src/ports/allocator.js'
import { MemoryClaims } from '../../src/ports/claims/memory-claims.js'
import type { Holder } from '../../src/ports/holder.js'
import { parsePortSpec } from '../../src/ports/port-spec.js'
import { makeFakeProxy } from '../lib/fake-proxy.js'
import { freeRow } from '../lib/free-row.js'
import { MemoryLog } from '../lib/memory-log.js'

const HOLDER: Holder = {
  ...{ kind: 'publication', name: 'web', address: '', backend: '', since: '' },
}

/** A publication of two bound ports that are not served yet. */
async function bindPublication(t: Test) {
  const fake = makeFakeProxy(t)
  makeFolder(fake.runFolder, 0o700)
  const events = new EventEmitter<{ event: [Omit<PublicationEvent, 'time'>] }>()
  const publication = new Publication(
    { name: 'web', backend: '172.17.0.2', created: '2026-11-24T12:00:00.000Z' },
    {
      program: fake.program,
      runFolder: fake.runFolder,
      log: new MemoryLog(),
      onEvent: (event) => events.emit('event', event),
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

t.test('a change of the backend is saved, and followed by the next process', async (t) => {
  const { publication, bound, events, fake } = await bindPublication(t)
  await publication.start(bound)
  publication.setBackend('172.17.0.9')
  t.equal(publication.saved.backend, '172.17.0.9')
  const { ports } = await publication.view(() => 0)
  const exited = once(events, 'event')
  process.kill(ports[0]?.pid ?? 0, 'SIGKILL')
  t.match(await exited, [{ type: 'proxy-exited', publication: 'web', reason: 'signal 9' }])
  t.match(await once(events, 'event'), [{ type: 'proxy-restarted', publication: 'web' }])
  t.match(fake.starts().at(-1), '-container-ip 172.17.0.9 -container-port 80 ')
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

t.test('saved publications are restored with the same ids', async (t) => {
  const { publication, bound } = await bindPublication(t)
  await publication.start(bound)
  const { saved } = publication
  t.equal(new Set(saved.ports.map(({ id }) => id)).size, 2)
  t.match(saved, {
    name: 'web',
    ports: bound.map(({ port, containerPort }) => ({ port, containerPort })),
  })
  t.notOk('shared' in saved)
})
