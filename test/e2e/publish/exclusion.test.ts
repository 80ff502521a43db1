import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freeRow } from '../../lib/free-row.js'
import { kill } from '../../lib/proc.js'
import { leftovers, publish, startDaemon } from '../../lib/publish.js'
import { assertReleased } from '../../lib/released.js'
import { until } from '../../lib/until.js'

t.test('two daemons: the second says so and leaves the first alone', async (t) => {
  const daemon = await startDaemon(t)
  const data = join(daemon.folder, 'data')
  const other = [
    '-H',
    `unix://${daemon.folder}/other`,
    '--exec-root',
    join(daemon.folder, 'other-exec'),
  ]
  const second = await publish(t, ['daemon', ...other, '--data-root', data])
  t.match(second, { code: 1, stderr: `another docker-publish daemon uses ${data}: stop it` })
  const third = await publish(t, [
    ...['daemon', '-H', daemon.host, '--data-root', join(daemon.folder, 'other-data')],
    ...['--exec-root', join(daemon.folder, 'other-exec')],
  ])
  t.match(third, { code: 1, stderr: `another daemon listens on ${daemon.host}: stop it` })
  t.ok(await daemon.client.version())
})

t.test("a foreign file at the socket's path is left alone, and nothing starts", async (t) => {
  const daemon = await startDaemon(t)
  const { ports } = await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: [`127.0.0.1:${freeRow(1)}:80`],
  })
  await daemon.end('SIGKILL')
  leftovers(daemon.folder).forEach(kill)
  await until(() => leftovers(daemon.folder).length === 0)
  const precious = join(daemon.folder, 'precious')
  writeFileSync(precious, 'precious')
  const roots = [
    '--data-root',
    join(daemon.folder, 'data'),
    '--exec-root',
    join(daemon.folder, 'exec'),
  ]
  for (const [path, reason] of [
    [precious, 'a file that is not a socket is already there'],
    [daemon.folder, 'a file that is not a socket is already there'],
    ['/nowhere/socket', 'there is no folder /nowhere; make it, or name another path with -H'],
  ] as const) {
    const { code, stderr } = await publish(t, ['daemon', '-H', `unix://${path}`, ...roots])
    t.match(stderr, `docker-publish: can't listen on unix://${path}: ${reason}\n`)
    t.equal(code, 1)
  }
  t.equal(readFileSync(precious, 'utf8'), 'precious')
  t.same(leftovers(daemon.folder), [])
  await assertReleased(t, ports[0]?.hostPort ?? 0)
})

t.test('two daemons never share a run folder', async (t) => {
  const daemon = await startDaemon(t)
  const other = join(daemon.folder, 'other')
  const exec = join(daemon.folder, 'exec')
  const args = ['daemon', '-H', `unix://${other}.sock`, '--data-root', other, '--exec-root', exec]
  t.match(await publish(t, args), {
    code: 1,
    stderr: `docker-publish: another docker-publish daemon uses ${exec}: stop it, or name another folder with --exec-root`,
  })
})
