import t from 'tap'
import { reportRefusal } from '../../src/cli/conflict-report.js'
import { Refusal } from '../../src/ports/refusal.js'

const lines = (refusal: Refusal): string[] => reportRefusal(refusal).split('\n')

t.test('the line that scripts match comes first, and alone', async (t) => {
  t.same(lines(new Refusal('bind-failed', 'failed to bind')), ['failed to bind'])
  t.same(lines(new Refusal('ports-exhausted', 'a\nb', { suggestions: { ports: [] } })), ['a', 'b'])
})

t.test('a process: all that is known, on one line that is not too long', async (t) => {
  const command = `server\n --flag ${'x'.repeat(300)}`
  const [, held = '', free] = lines(
    new Refusal('port-in-use', 'taken', {
      holder: {
        kind: 'process',
        address: '0.0.0.0:80',
        pid: 7,
        command,
        user: 'www-data',
        since: '2026-11-24T12:00:00.000Z',
        container: '0123456789abcdef',
        backend: '172.17.0.2:80',
      },
      suggestions: { ports: [81], address: '127.0.0.2' },
    }),
  )
  t.match(
    held,
    /^ {2}held by {3}server --flag x+… \(pid 7, user www-data, since 2026-11-24 \d\d:00:00, container 0123456789ab, a published port of 172\.17\.0\.2:80\) on 0\.0\.0\.0:80$/,
  )
  t.equal(free, '  free      the port 81; this port on 127.0.0.2')
})
