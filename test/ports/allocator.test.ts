import { once } from 'node:events'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { Allocator, releasePort, type BoundPort } from '../../src/ports/allocator.js'
import { Refusal } from '../../src/ports/refusal.js'
import type { Holder } from '../../src/ports/holder.js'
import type { HostPort } from '../../src/ports/host-port.js'
import { parsePortSpec, parsePortSpecs } from '../../src/ports/port-spec.js'
import { MemoryClaims } from '../../src/ports/claims/memory-claims.js'
import { ephemeralPorts } from '../../src/linux/proc/ephemeral-ports.js'
import { openDescriptors } from '../lib/proc.js'
import { freeRow } from '../lib/free-row.js'

const SINCE = '2026-11-24T12:00:00.000Z'

/** An allocator whose ports are closed when the test ends. */
function makeAllocator(t: Test) {
  const allocator = new Allocator(new MemoryClaims())
  const holder =
    (name: string) =>
    ({ ip, port }: HostPort): Holder => ({
      kind: 'publication',
      name,
      address: `${ip}:${port}`,
      backend: '172.17.0.2',
      since: SINCE,
    })
  const free = async (ports: readonly BoundPort[]): Promise<void> => {
    await Promise.all(ports.map(releasePort))
  }
  const open = new Set<readonly BoundPort[]>()
  t.teardown(() => Promise.all([...open].map(free)))
  return {
    check: (...specs: string[]) => allocator.check(specs.flatMap(parsePortSpec), holder('check')),
    allocate: async (name: string, ...specs: string[]): Promise<BoundPort[]> => {
      const ports = await allocator.allocate(specs.flatMap(parsePortSpec), holder(name))
      open.add(ports)
      return ports
    },
    free: (ports: readonly BoundPort[]): Promise<void> => {
      open.delete(ports)
      return free(ports)
    },
  }
}

const shown = (ports: readonly HostPort[]): string[] =>
  ports.map(({ protocol, ip, port }) => `${ip} ${port}/${protocol}`)

async function refusalOf(work: () => Promise<unknown>): Promise<Refusal> {
  try {
    await work()
  } catch (err) {
    if (err instanceof Refusal) return err
    throw err
  }
  throw new Error('not refused')
}

t.test('without an address both families are bound, on the same port', async (t) => {
  const { allocate } = makeAllocator(t)
  const port = freeRow(1)
  t.same(shown(await allocate('a', `${port}:80`)), [`0.0.0.0 ${port}/tcp`, `:: ${port}/tcp`])
  const [v4, v6] = await allocate('b', '80')
  t.equal(v4?.port, v6?.port)
})

t.test('without IPv6 on the host it is left out, unless it was requested', async (t) => {
  const { allocate } = makeAllocator(t)
  const refusal = await refusalOf(() => allocate('a', '[2001:db8::1]:8080:80'))
  t.equal(refusal.code, 'bind-failed')
  t.equal(
    refusal.message,
    'failed to bind host port [2001:db8::1]:8080/tcp: cannot assign requested address\n' +
      'No interface of this host has the address: "ip address" lists the addresses of the host',
  )
})

t.test(
  "our own port is refused with dockerd's sentence, the holder and free alternatives",
  async (t) => {
    const { allocate } = makeAllocator(t)
    const port = freeRow(8)
    await allocate('web_svr01', `${port}:80`)
    const refusal = await refusalOf(() => allocate('web_svr02', `${port}:90`))
    t.equal(refusal.code, 'port-allocated')
    t.equal(refusal.message, `Bind for 0.0.0.0:${port} failed: port is already allocated`)
    t.match(refusal.details.holder, { kind: 'publication', name: 'web_svr01', since: SINCE })
    t.equal(refusal.details.suggestions?.address, undefined, 'all addresses are taken')
    const [nearest = 0] = refusal.details.suggestions?.ports ?? []
    t.equal(nearest, port + 1)
    t.same(shown(await allocate('web_svr02', `${nearest}:90`)).length, 2, 'what is suggested works')
  },
)

t.test('on one address the suggestion is another address as well, and it works', async (t) => {
  const { allocate } = makeAllocator(t)
  const port = freeRow(1)
  await allocate('a', `127.0.0.1:${port}:80`)
  const { address } =
    (await refusalOf(() => allocate('b', `127.0.0.1:${port}:80`))).details.suggestions ?? {}
  t.ok(address)
  await allocate('b', `${address ?? ''}:${port}:80`)
  const refusal = await refusalOf(() => allocate('c', `${port}:80`))
  t.equal(refusal.message, `Bind for 0.0.0.0:${port} failed: port is already allocated`)
})

t.test('IPv6 in the words of dockerd', async (t) => {
  const { allocate } = makeAllocator(t)
  const port = freeRow(1)
  await allocate('a', `[::]:${port}:80`)
  t.equal(
    (await refusalOf(() => allocate('b', `[::1]:${port}:80`))).message,
    `Bind for ::1:${port} failed: port is already allocated`,
  )
})

t.test(
  "a port of another process is refused with the kernel's reason, and the process is named",
  async (t) => {
    const { allocate } = makeAllocator(t)
    const port = freeRow(1)
    const server = createServer().listen(port, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const refusal = await refusalOf(() => allocate('a', `${port}:80`))
    t.equal(refusal.code, 'port-in-use')
    t.equal(refusal.message, `failed to bind host port 0.0.0.0:${port}/tcp: address already in use`)
    t.match(refusal.details.holder, {
      kind: 'process',
      pid: process.pid,
      address: `127.0.0.1:${port}`,
    })
  },
)

t.test('a dual-stack listener of a foreign process takes IPv4 as well', async (t) => {
  const { allocate } = makeAllocator(t)
  const port = freeRow(1)
  const server = createServer().listen({ port, host: '::', ipv6Only: false })
  await once(server, 'listening')
  t.teardown(() => server.close())
  const refusal = await refusalOf(() => allocate('a', `127.0.0.1:${port}:80`))
  t.equal(refusal.code, 'port-in-use')
  t.match(refusal.details.holder, { kind: 'process', address: `[::]:${port}` })
})

t.test('all or nothing: when one port fails none is kept, nor a descriptor', async (t) => {
  const { allocate, check } = makeAllocator(t)
  const port = freeRow(4)
  await allocate('a', `127.0.0.1:${port + 2}:80`)
  const before = openDescriptors(process.pid)
  t.equal(
    (await refusalOf(() => allocate('b', `${port}-${port + 3}:80-83`))).message,
    `Bind for 0.0.0.0:${port + 2} failed: port is already allocated`,
  )
  t.equal(openDescriptors(process.pid), before)
  t.equal((await check(`${port}:80`, `${port + 1}:80`, `${port + 3}:80`)).length, 6)
})

t.test('a range gives its first free port, and says when it is used up', async (t) => {
  const { allocate, free } = makeAllocator(t)
  const port = freeRow(3)
  const spec = `127.0.0.1:${port}-${port + 1}:80`
  const first = await allocate('a', spec)
  t.same(shown(first), [`127.0.0.1 ${port}/tcp`])
  t.same(shown(await allocate('b', spec)), [`127.0.0.1 ${port + 1}/tcp`])
  const refusal = await refusalOf(() => allocate('c', spec))
  t.equal(refusal.code, 'ports-exhausted')
  t.equal(
    refusal.message,
    `all ports are allocated\nno port of 127.0.0.1:${port}-${port + 1}:80/tcp is free`,
  )
  t.match(refusal.details.holder, { name: 'a' })
  await free(first)
  t.same(shown(await allocate('c', spec)), [`127.0.0.1 ${port}/tcp`])
})

t.test('exact ports are bound before ranges, and ranges before any port', async (t) => {
  const { allocate } = makeAllocator(t)
  const port = freeRow(2)
  const ports = await allocate('a', `${port}-${port + 1}:81`, `${port}:80`, '82')
  t.same(
    ports
      .filter(({ ip }) => ip === '0.0.0.0')
      .map((p) => [p.containerPort, p.port])
      .slice(0, 2),
    [
      [81, port + 1],
      [80, port],
    ],
  )
})

t.test('automatic ports: in the range of the kernel, each after the one before', async (t) => {
  const { allocate, free, check } = makeAllocator(t)
  const { first, last } = ephemeralPorts()
  const [a] = await allocate('a', '127.0.0.1::80')
  const peek = await check('127.0.0.1::80')
  const b = await allocate('b', '127.0.0.1::80')
  t.equal(peek[0]?.port, b[0]?.port, 'a check tells the next and takes it from nobody')
  t.ok(a && a.port >= first && a.port <= last)
  t.ok(b[0] && a && b[0].port > a.port)
  await free(b)
  const [c] = await allocate('c', '127.0.0.1::80')
  t.not(c?.port, b[0]?.port, 'one that was given back is not given again at once')
})

t.test('one request may not ask for a port twice, but may say the same twice', async (t) => {
  const { allocate } = makeAllocator(t)
  const port = freeRow(1)
  t.equal((await allocate('a', `127.0.0.1:${port}:80`, `127.0.0.1:${port}:80`)).length, 1)
  const other = freeRow(1)
  t.equal(
    (await refusalOf(() => allocate('b', `${other}:80`, `127.0.0.1:${other}:81`))).message,
    `Bind for 127.0.0.1:${other} failed: port is already allocated`,
  )
})

t.test('SCTP without a kernel that has it', async (t) => {
  const { allocate, free } = makeAllocator(t)
  const port = freeRow(1)
  try {
    await free(await allocate('a', `127.0.0.1:${port}:80/sctp`))
  } catch (err) {
    t.match(err, {
      code: 'bind-failed',
      message: `failed to bind host port 127.0.0.1:${port}/sctp: protocol not supported`,
    })
  }
})

t.test('requests that differ only in their address get the same port', async (t) => {
  const { allocate } = makeAllocator(t)
  const any = await allocate('a', '127.0.0.1::80', '[::1]::80', '127.0.0.1::81')
  t.strictSame(
    any.map(({ ip, containerPort }) => `${ip} ${containerPort}`),
    ['127.0.0.1 80', '::1 80', '127.0.0.1 81'],
  )
  t.equal(any[0]?.port, any[1]?.port)
  t.not(any[0]?.port, any[2]?.port)
  const first = freeRow(4)
  const range = `${first}-${first + 3}`
  const taken = await allocate('b', `127.0.0.2:${first}:80`)
  t.equal(taken.length, 1)
  const ranges = await allocate('c', `127.0.0.1:${range}:80`, `127.0.0.2:${range}:80`)
  t.strictSame(
    ranges.map(({ port }) => port),
    [first + 1, first + 1],
    'the first that is free on both',
  )
  const equal = await allocate('d', '127.0.0.1::80', '127.0.0.1::80')
  t.not(equal[0]?.port, equal[1]?.port, 'equal requests get different ports')
})

t.test(
  'a check finds what publishing would bind, also after a port that was taken on one address',
  async (t) => {
    const { allocate, check } = makeAllocator(t)
    const first = freeRow(2)
    const range = `${first}-${first + 1}`
    await allocate('a', `127.0.0.2:${first}:80`)
    const specs = [`127.0.0.1:${range}:80`, `127.0.0.2:${range}:80`, `127.0.0.1:${range}:81`]
    const checked = shown(await check(...specs))
    t.strictSame(checked, [
      `127.0.0.1 ${first + 1}/tcp`,
      `127.0.0.2 ${first + 1}/tcp`,
      `127.0.0.1 ${first}/tcp`,
    ])
    t.strictSame(shown(await allocate('b', ...specs)), checked)
  },
)

t.test('suggestions leave out ports that the request itself needs', async (t) => {
  const { allocate } = makeAllocator(t)
  const port = freeRow(8)
  await allocate('a', `127.0.0.1:${port}:80`)
  const { details } = await refusalOf(() =>
    allocate('b', `127.0.0.1:${port}:80`, `127.0.0.1:${port + 1}:81`),
  )
  t.notOk(details.suggestions?.ports.includes(port + 1))
  t.ok((details.suggestions?.ports.length ?? 0) > 0)
})

t.test('a request of all ports is checked, and other work goes on meanwhile', async (t) => {
  const { check } = makeAllocator(t)
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  const checking = check('127.0.0.1:1-65535:1-65535/udp').then(
    (ports) => ports.length,
    (err: unknown) => (err as Refusal).code,
  )
  const result = await checking
  clearInterval(timer)
  // Some port may be in use by another program.
  t.ok(result === 65_535 || result === 'port-in-use', String(result))
  t.ok(turns > 5, `${turns} turns`)
})

t.test('a request that expands to more ports than there are is refused', async (t) => {
  await t.rejects(parsePortSpecs(['1-65535', '1']), {
    message: 'invalid port "1": at most 65535 ports fit into one request: divide them',
  })
  await t.rejects(parsePortSpecs(Array<string>(100_000).fill('1-65535')), { code: 'EBADPORT' })
})
