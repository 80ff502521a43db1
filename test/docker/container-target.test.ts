import t from 'tap'
import {
  containersOf,
  findTarget,
  formatTarget,
  targetOf,
} from '../../src/docker/container-target.js'
import { exampleContainer } from '../lib/example-container.js'

const replica = (number: number, parts: object = {}) =>
  exampleContainer({
    id: String(number).repeat(64),
    name: `shop-web-${number}`,
    compose: { project: 'shop', service: 'web', number, isOneOff: false },
    ...parts,
  })

const plain = exampleContainer({ id: 'ab'.repeat(32), name: 'web_svr01' })
const other = exampleContainer({ id: `abc${'0'.repeat(61)}`, name: 'db' })
const all = [plain, other, replica(1), replica(2)]

t.test('ids, names, beginnings of ids and compose services', async (t) => {
  for (const text of [plain.id, 'web_svr01', '/web_svr01', 'abab']) {
    t.same(findTarget(text, all), { kind: 'container', id: plain.id, name: 'web_svr01' })
  }
  t.same(findTarget('shop/web', all), { kind: 'service', project: 'shop', service: 'web' })
  t.same(findTarget('shop-web-2', all), {
    ...{ kind: 'container', id: '2'.repeat(64), name: 'shop-web-2' },
    compose: { project: 'shop', service: 'web', number: 2 },
  })
  t.equal(formatTarget(findTarget('shop/web', all)), 'shop/web')
})

t.test('what does not exist, or is not one', async (t) => {
  t.throws(() => findTarget('web_srv01', all), {
    message: 'no such container: web_srv01 (did you mean web_svr01?)',
  })
  t.throws(() => findTarget('ab', all), {
    message: '"ab" is the beginning of several ids: web_svr01, db',
  })
  t.throws(() => findTarget('x', []), { message: 'no such container: x (there are no containers)' })
  t.throws(() => findTarget('\u001b[2J', all), {
    message: /^no such container: \\x1b\[2J \(there are /,
  })
  t.throws(() => findTarget('shop/nope', all), { message: /no such container: shop\/nope/ })
})

t.test('the containers of a target: its replicas, its successor, or its namesake', async (t) => {
  const service = findTarget('shop/web', all)
  const run = replica(3, { compose: { ...replica(3).compose, isOneOff: true } })
  t.same(
    containersOf(service, [...all, run], false).map(({ name }) => name),
    ['shop-web-1', 'shop-web-2'],
  )
  const successor = replica(1, { id: 'e'.repeat(64), name: 'e_shop-web-1' })
  t.same(containersOf(targetOf(replica(1)), [successor, replica(2)], false), [successor])
  const namesake = { ...plain, id: 'f'.repeat(64) }
  t.same(containersOf(targetOf(plain), [namesake], false), [])
  t.same(containersOf(targetOf(plain), [namesake], true), [namesake])
})
