import t from 'tap'
import { formatPorts } from '../../src/cli/ports-column.js'

const port = (
  hostIp: string,
  hostPort: number,
  containerPort: number,
  protocol: 'tcp' | 'udp' = 'tcp',
) => ({
  hostIp,
  hostPort,
  containerPort,
  protocol,
})

t.test('ports as docker ps writes them', async (t) => {
  t.equal(formatPorts([]), '')
  t.equal(
    formatPorts([port('0.0.0.0', 8080, 80), port('::', 8080, 80)]),
    '0.0.0.0:8080->80/tcp, [::]:8080->80/tcp',
  )
  t.equal(
    formatPorts([8001, 8000, 8002].map((p) => port('0.0.0.0', p, p))),
    '0.0.0.0:8000-8002->8000-8002/tcp',
  )
  t.equal(
    formatPorts([8001, 8000].map((p) => port('0.0.0.0', p, p + 1000))),
    '0.0.0.0:8000->9000/tcp, 0.0.0.0:8001->9001/tcp',
  )
  t.equal(
    formatPorts([port('::', 80, 80), port('0.0.0.0', 80, 80), port('0.0.0.0', 8081, 79)]),
    '0.0.0.0:80->80/tcp, [::]:80->80/tcp, 0.0.0.0:8081->79/tcp',
  )
  t.equal(
    formatPorts([
      port('127.0.0.1', 53, 53, 'udp'),
      port('127.0.0.1', 54, 54),
      port('127.0.0.1', 56, 56),
    ]),
    '127.0.0.1:54->54/tcp, 127.0.0.1:53->53/udp, 127.0.0.1:56->56/tcp',
  )
  t.equal(
    formatPorts([port('0.0.0.0', 8000, 80), port('0.0.0.0', 8001, 80)]),
    '0.0.0.0:8000->80/tcp, 0.0.0.0:8001->80/tcp',
  )
})
