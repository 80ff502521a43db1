import t from 'tap'
import {
  refuseRepeatedPorts,
  requestOfLabels,
  textOfLabels,
} from '../../src/controller/publication-labels.js'
import { exampleContainer } from '../lib/example-container.js'

const requestOf = (labels: Record<string, string>) => requestOfLabels(exampleContainer({ labels }))

t.test('labels ask for a publication, which has the name of the container', async (t) => {
  t.equal(requestOf({ other: 'x' }), undefined)
  t.same(requestOf({ 'docker-publish.ports': '8080:80, 5353:53/udp,' }), {
    via: 'proxy',
    ...{ name: 'web_svr01', container: 'a'.repeat(64), ports: ['8080:80', '5353:53/udp'] },
    whenStopped: 'refuse',
  })
  t.match(
    requestOf({
      'docker-publish.ports': '80:80',
      'docker-publish.name': 'shop',
      'docker-publish.network': 'back',
      'docker-publish.when-stopped': 'hold',
    }),
    { name: 'shop', network: 'back', whenStopped: 'hold' },
  )
  t.match(
    requestOf({
      'docker-publish.ports': '80:80',
      'docker-publish.max-connections': '500',
      'docker-publish.send-proxy': 'v2',
    }),
    { options: { 'max-connections': '500', 'send-proxy': 'v2' } },
  )
})

t.test('a container with other labels is told from its predecessor', async (t) => {
  const ports = { 'docker-publish.ports': '80:80' }
  const limited = { ...ports, 'docker-publish.allow': '10.0.0.1' }
  t.equal(textOfLabels({ ...ports, other: 'x' }), textOfLabels(ports))
  t.not(textOfLabels(limited), textOfLabels(ports))
  t.not(textOfLabels({ ...limited, 'docker-publish.allow': '10.0.0.2' }), textOfLabels(limited))
  const reversed = Object.fromEntries(Object.entries(limited).reverse())
  t.equal(textOfLabels(reversed), textOfLabels(limited))
  t.equal(textOfLabels({ 'docker-publish.allow': '10.0.0.1' }), undefined)
})

t.test('labels that mean nothing are quoted', async (t) => {
  t.throws(() => requestOf({ 'docker-publish.ports': ' ' }), {
    message:
      'the label docker-publish.ports names no port: expected ports as for -p, for example 8080:80',
  })
  t.throws(() => requestOf({ 'docker-publish.port': '80:80' }), {
    message: /^unknown label docker-publish\.port: expected docker-publish\.ports, /,
  })
  t.throws(
    () => requestOf({ 'docker-publish.ports': '80:80', 'docker-publish.when-stopped': 'x' }),
    { message: 'invalid docker-publish.when-stopped "x": expected refuse, hold, close-port' },
  )
  t.throws(() => requestOf({ 'docker-publish.ports': '80:80', 'docker-publish.allow': 'x' }), {
    message: /^invalid docker-publish\.allow "x": expected addresses and networks, /,
  })
})

t.test('a port that is named twice is quoted', async (t) => {
  for (const [ports, twice] of [
    [['83:80', '83:81'], '83/tcp'],
    [['127.0.0.1:53:53/udp', '53:5353/udp'], '53/udp'],
  ] as const) {
    await t.rejects(refuseRepeatedPorts(ports), {
      message: `the label docker-publish.ports names ${twice} twice`,
    })
  }
  await refuseRepeatedPorts([
    '83:80',
    '83:80/udp',
    '127.0.0.1:84:80',
    '127.0.0.2:84:80',
    '80',
    '81',
  ])
  await refuseRepeatedPorts(['8000-8001:80', '8000-8001:81'])
})
