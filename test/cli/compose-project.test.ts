import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { composeProject } from '../../src/cli/compose-project.js'

t.test('the name of a compose project, as compose finds it', async (t) => {
  const root = t.testdir({
    'My-Shop.1': { 'compose.yaml': 'services: {}\n', 'named.yaml': 'name: Named\n' },
    '---': { 'compose.yaml': 'services: {}\n' },
    shop: {
      'compose.yaml': '# a comment\nname: "market"  # of ours\nservices: { web: { name: no } }\n',
      'more.yaml': 'name: ${PLACE:-other}\n',
      'none.yaml': 'services: {}\n',
      'bad.yaml': 'name: [\n',
      'empty.yaml': '',
    },
  })
  const find = (files: readonly string[], env: NodeJS.ProcessEnv = {}, projectName?: string) =>
    composeProject({ files: files.map((file) => join(root, file)), projectName }, env)

  t.equal(await find([]), undefined, 'neither a file nor a name')
  t.equal(await find([], { COMPOSE_PROJECT_NAME: 'x' }), undefined)
  t.equal(await find(['shop/compose.yaml'], { COMPOSE_PROJECT_NAME: 'x' }, 'given'), 'given')
  t.equal(await find(['shop/compose.yaml'], { COMPOSE_PROJECT_NAME: 'x' }), 'x')
  t.equal(await find(['shop/compose.yaml']), 'market')
  t.equal(await find(['shop/compose.yaml', 'shop/more.yaml']), 'other', 'the last name')
  t.equal(await find(['shop/more.yaml', 'shop/none.yaml'], { PLACE: 'here' }), 'here')
  t.equal(await find(['shop/more.yaml'], { PLACE: '' }), 'other')
  t.equal(await find(['shop/none.yaml']), 'shop')
  t.equal(await find(['shop/empty.yaml']), 'shop')
  t.equal(await find(['My-Shop.1/compose.yaml']), 'my-shop1')

  writeFileSync(join(root, 'shop/.env'), '# x\nexport COMPOSE_PROJECT_NAME="from_env"\nPLACE=\n')
  t.equal(await find(['shop/compose.yaml']), 'from_env')
  mkdirSync(join(root, 'shop/folder'))

  await t.rejects(find(['---/compose.yaml']), /gives no name .* name it with --project-name$/)
  await t.rejects(
    find(['My-Shop.1/named.yaml']),
    /invalid name "Named" of a compose project \(name: /,
  )
  await t.rejects(
    find([], {}, 'Shop!'),
    /invalid name "Shop!" of a compose project \(--project-name\): /,
  )
  await t.rejects(
    find(['My-Shop.1/nothing.yaml']),
    /can't read the compose file ".*nothing\.yaml": /,
  )
  await t.rejects(
    find(['shop/bad.yaml'], { COMPOSE_PROJECT_NAME: '' }),
    /bad\.yaml" is not a compose file: /,
  )
})
