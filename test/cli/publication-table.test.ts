import t from 'tap'
import { formatPublications, formatState, formatStatus } from '../../src/cli/publication-table.js'
import type { PortView, PublicationView } from '../../src/controller/views.js'

const port: PortView = {
  protocol: 'tcp',
  hostIp: '0.0.0.0',
  hostPort: 8080,
  containerPort: 80,
  state: 'up',
  restarts: 0,
  connections: 3,
  holdsSocket: true,
  via: 'proxy',
}

t.test('a line for each publication, in columns', async (t) => {
  const created = '2026-11-24T12:00:00.000Z'
  const now = Date.parse('2026-11-24T12:05:10.000Z')
  t.equal(
    formatPublications(
      [
        {
          name: 'web_svr01',
          backend: '172.17.0.2',
          created,
          isolation: 'process',
          via: 'proxy',
          ports: [port, { ...port, hostIp: '::' }],
        },
        {
          name: 'b',
          backend: '172.17.0.3',
          created,
          isolation: 'process',
          via: 'proxy',
          ports: [],
        },
      ],
      now,
    ),
    `NAME        BACKEND      PORTS                                     STATUS   CONNECTIONS   UPTIME
web_svr01   172.17.0.2   0.0.0.0:8080->80/tcp, [::]:8080->80/tcp   up       6             5 minutes
b           172.17.0.3                                             up       0             5 minutes`,
  )
})

t.test('the state of a port', async (t) => {
  const dead: PortView = { ...port, state: 'restarting', restarts: 2, reason: 'signal 9' }
  t.equal(formatState([port, dead]), 'restarting (2): signal 9')
  t.equal(formatState([dead, dead, port]), 'restarting (2): signal 9 and 1 more')
  t.equal(formatState([{ ...port, state: 'starting' }]), 'starting')
  t.equal(formatState([{ ...dead, state: 'draining' }]), 'draining')
  t.equal(formatState([{ ...port, restarts: 4, reason: 'exit code 1' }]), 'up')
})

t.test('a port that is up while its backend is not', async (t) => {
  const time = '2026-11-24T12:00:00.000Z'
  const failing = (reason: string): PortView => ({
    ...port,
    recentFailedDials: 156,
    lastFailedDial: { reason, time },
  })
  const refused = failing('connection refused')
  t.equal(formatState([refused, refused]), 'up, backend refuses (312 in 5 m)')
  t.equal(
    formatState([port, failing('no route to host')]),
    'up, backend: no route to host (156 in 5 m)',
  )
  t.equal(formatState([{ ...refused, recentFailedDials: 0 }]), 'up', 'it has recovered')
})

t.test('a long error of labels leaves room for the other columns', async (t) => {
  const view = (labelError: string): PublicationView => ({
    ...{ name: 'web', backend: '', container: 'web', containerState: 'running', ports: [] },
    ...{ created: new Date(0).toISOString(), isolation: 'process', via: 'proxy', labelError },
  })
  t.equal(formatStatus(view('unknown label')), 'label error: unknown label')
  t.equal(formatStatus(view('x'.repeat(400))), `label error: ${'x'.repeat(79)}…`)
})
