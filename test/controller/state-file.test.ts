import { chmodSync, chownSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { SavedPublication } from '../../src/controller/saved-publication.js'
import { StateFile } from '../../src/controller/state-file.js'
import { notRoot } from '../lib/program.js'
import { mountSmallDisk } from '../lib/small-disk.js'

const publication = (name: string): SavedPublication => ({
  name,
  backends: [{ ip: '172.17.0.2' }],
  created: '2026-11-24T12:00:00.000Z',
  ports: [
    {
      id: '0f8fad5b-d9cb-469f-a165-70867728950e',
      protocol: 'tcp',
      ip: '0.0.0.0',
      port: 8080,
      containerPort: 80,
    },
  ],
})

/** A publication as the file has it. */
const saved = ({
  name = 'a',
  id = 1,
  created = '2026-11-24T12:00:00.000Z',
  hostIp = '0.0.0.0',
  backend = '172.17.0.2',
}) => ({
  ...{ name, backend, created },
  ports: [
    {
      id: `0f8fad5b-d9cb-469f-a165-70867728950${id}`,
      ...{ protocol: 'tcp', hostIp, hostPort: 8080, containerPort: 80 },
    },
  ],
})

t.test('saved publications are loaded, by another daemon as well', async (t) => {
  const folder = join(t.testdir(), 'made/by/us')
  const first = new StateFile(folder, 'docker-publish daemon')
  t.same(first.load(), [])
  first.save([publication('a'), publication('b')])
  first.save([publication('b')])
  t.same(first.load(), [publication('b')])
  first.close()
  const second = new StateFile(folder, 'docker-publish daemon')
  t.same(second.load(), [publication('b')])
  t.same(readdirSync(folder), ['state.json'])
  second.close()
})

t.test('two daemons on one folder: the second says so', async (t) => {
  const folder = t.testdir()
  const first = new StateFile(folder, 'docker-publish daemon')
  t.throws(() => new StateFile(folder, 'docker-publish daemon'), {
    message: `another docker-publish daemon uses ${folder}: stop it, or name another folder with --data-root`,
  })
  first.close()
  new StateFile(folder, 'docker-publish daemon').close()
})

t.test('a file that is not ours is left alone', async (t) => {
  for (const text of [
    '',
    '{',
    '[]',
    '{"version": 99, "publications": []}',
    'null',
    // A newer version, the same name twice, the same id twice, a date and an address that are none.
    '{"version": 2}',
    JSON.stringify({ version: 1, publications: [saved({}), saved({ id: 2 })] }),
    JSON.stringify({ version: 1, publications: [saved({}), saved({ name: 'b' })] }),
    JSON.stringify({ version: 1, publications: [saved({ created: 'yesterday' })] }),
    JSON.stringify({ version: 1, publications: [saved({ hostIp: 'localhost' })] }),
    JSON.stringify({ version: 1, publications: [saved({ backend: '0.0.0.0' })] }),
    // A port that overlaps with another one.
    JSON.stringify({
      version: 1,
      publications: [saved({}), saved({ name: 'b', id: 2, hostIp: '0.0.0.0' })],
    }),
    'x\n\x1b[2Jis free',
    '{"version": 1, "publications": [{}]}',
    '{"version": 1, "publications": [null]}',
    // The id would name a file of someone else in the run folder.
    '{"version": 1, "publications": [{"name": "a", "backend": "127.0.0.1", "created": "", "ports": [{"id": "package", "protocol": "tcp", "hostIp": "127.0.0.1", "hostPort": 80, "containerPort": 80}]}]}',
  ]) {
    const folder = t.testdir({ 'state.json': text })
    const state = new StateFile(folder, 'docker-publish daemon')
    t.throws(
      () => state.load(),
      {
        message: /^[^\n]* is not a state file of version 1: .*; repair it, or move it away[^\n]*$/,
      },
      text,
    )
    t.equal(readFileSync(state.path, 'utf8'), text)
    state.close()
  }
})

t.test('a folder in which others can plant links is refused', async (t) => {
  const folder = t.testdir()
  chmodSync(folder, 0o777)
  t.throws(() => new StateFile(folder, 'docker-publish daemon'), {
    message: `can't use the folder ${folder}: other users can write to it; prevent that with chmod go-w, or name another one with --data-root`,
  })
})

t.test('a folder of another user is refused', { skip: notRoot('to give it away') }, async (t) => {
  const folder = t.testdir()
  chownSync(folder, 65_534, 65_534)
  t.throws(() => new StateFile(folder, 'docker-publish daemon'), {
    message:
      /: it belongs to user 65534, not to the user that runs this; name another one with --data-root$/,
  })
})

t.test('a folder that can not be used', async (t) => {
  const folder = t.testdir({ file: '' })
  t.throws(() => new StateFile(join(folder, 'file/state'), 'docker-publish daemon'), {
    message: /can't use the folder .*: not a directory; name another one with --data-root/,
  })
})

t.test(
  'a full disk: it is said, and the file is as it was',
  { skip: notRoot('to mount a small disk') },
  async (t) => {
    const disk = mountSmallDisk(t)
    const { folder } = disk
    const state = new StateFile(folder, 'docker-publish daemon')
    state.save([publication('a')])
    disk.fill()
    t.throws(() => state.save([publication('a'), publication('b')]), {
      code: 'state-not-saved',
      message: `can't save the state in ${folder}: no space left on device`,
    })
    t.same(state.load(), [publication('a')])
    t.same(readdirSync(folder).sort(), ['filler', 'state.json'])
    disk.free()
    state.save([publication('b')])
    t.same(state.load(), [publication('b')])
    state.close()
  },
)
