import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import Dockerode from 'dockerode'
import { execa } from 'execa'
import t, { type Test } from 'tap'
import { freeRow } from '../../lib/free-row.js'
import { missing } from '../../lib/program.js'
import { startDaemon } from '../../lib/publish.js'

/* The daemon as a host of the docker command and of other clients of the Engine API. */

const BACKEND = '172.17.0.2'
const DOCKER = '/usr/bin/docker'

async function startHost(t: Test) {
  const daemon = await startDaemon(t)
  const docker = async (...args: string[]) => {
    const { exitCode, stdout, stderr } = await execa(DOCKER, args, {
      env: { DOCKER_HOST: daemon.host, DOCKER_CONTEXT: '', DOCKER_TLS_VERIFY: '' },
      reject: false,
    })
    return { code: exitCode, stdout, stderr }
  }
  const port = freeRow(3)
  t.match(
    await daemon.cli(
      'add',
      '--name',
      'web_svr01',
      '-p',
      `${port}:80`,
      '-p',
      `127.0.0.1:${port + 1}:53/udp`,
      BACKEND,
    ),
    { code: 0 },
  )
  t.match(
    await daemon.cli('add', '--name', 'db', '-p', `127.0.0.1:${port + 2}:5432`, '172.17.0.3'),
    {
      code: 0,
    },
  )
  return { daemon, docker, port, client: new Dockerode({ socketPath: daemon.host.slice(7) }) }
}

t.test('the docker command', { skip: missing(DOCKER, 'docker.io') }, async (t) => {
  const { daemon, docker, port } = await startHost(t)

  t.test('ps lists publications with their ports, and filters them', async (t) => {
    const format = ['--format', '{{.Names}} {{.Image}} {{.Ports}} {{.State}}']
    const db = `db 172.17.0.3 127.0.0.1:${port + 2}->5432/tcp running`
    const { stdout } = await docker('ps', ...format)
    const [first, second] = stdout.split('\n')
    t.equal(first, db, 'the last one first')
    t.match(
      second,
      new RegExp(`^web_svr01 ${BACKEND} .*127\\.0\\.0\\.1:${port + 1}->53/udp.* running$`),
    )
    t.match(second, `0.0.0.0:${port}->80/tcp`)
    for (const filter of [
      ...['name=db', 'name=^db$', 'name=^/d', 'name=b$'],
      `publish=${port + 2}`,
      'expose=5432/tcp',
      'label=docker-publish.backend=172.17.0.3',
    ]) {
      t.match(
        await docker('ps', ...format, '--filter', filter),
        { stdout: new RegExp(`^${db}$`) },
        filter,
      )
    }
    t.match(await docker('ps', '-q', '--filter', 'status=exited'), { code: 0, stdout: /^$/ })
    t.match(await docker('ps', '--filter', 'ancestor=x'), {
      code: 1,
      stderr:
        /: invalid filter "ancestor": expected one of id, name, status, label, publish, expose$/,
    })
  })

  t.test('port and inspect find a publication by its name and by its id', async (t) => {
    t.match(await docker('port', 'web_svr01', '53/udp'), { stdout: `127.0.0.1:${port + 1}` })
    const [id = ''] = (await docker('ps', '-q', '--filter', 'name=web_svr01')).stdout.split('\n')
    t.match(id, /^[0-9a-f]{12}$/)
    const template = '{{.Name}} {{.State.Status}} {{.HostConfig.AutoRemove}}'
    t.match(await docker('inspect', '-f', template, id), { stdout: '/web_svr01 running true' })
    t.match(await docker('inspect', 'nothing'), { code: 1, stderr: /No such object: nothing/ })
  })

  t.test('version and info', async (t) => {
    t.match(await docker('version', '-f', '{{.Server.Platform.Name}}'), {
      stdout: 'docker-publish',
    })
    t.match(await docker('info', '-f', '{{.ContainersRunning}} {{.Swarm.LocalNodeState}}'), {
      stdout: '2 inactive',
    })
  })

  t.test('what makes no sense gets one line', async (t) => {
    for (const args of [
      ['run', 'web'],
      ['logs', 'db'],
      ['images'],
      ['exec', 'db', 'sh'],
      ['network', 'ls'],
    ]) {
      const { code, stderr } = await docker(...args)
      t.ok(code, args.join(' '))
      t.match(
        stderr,
        /Error response from daemon: docker-publish has no (GET|POST) \/.*, see "docker publish --help"/,
      )
    }
  })

  t.test('events, stop and rm', async (t) => {
    const events = execa(DOCKER, ['events', '--format', '{{.Action}} {{.Actor.Attributes.name}}'], {
      env: { DOCKER_HOST: daemon.host },
      reject: false,
    })
    t.teardown(() => events.kill('SIGKILL'))
    const lines = createInterface({ input: events.stdout })[Symbol.asyncIterator]()
    const next = async (): Promise<string> => String((await lines.next()).value)
    // The stream has begun when it shows a first event.
    const shown = next()
    const isShown = shown.then(() => true)
    const extra = async (): Promise<boolean> => {
      const ports = [`127.0.0.1:${freeRow(1)}:80`]
      await daemon.client.add({ name: 'extra', backend: BACKEND, ports })
      await daemon.client.remove('extra')
      return false
    }
    for (let done = false; !done; done = await Promise.race([isShown, Promise.resolve(false)])) {
      await extra()
    }
    t.match(await docker('rm', 'db'), {
      code: 1,
      stderr:
        /cannot remove container "\/db": container is running: stop the container before removing or force remove/,
    })
    t.match(await docker('rm', '-f', 'db'), { code: 0, stdout: 'db' })
    t.match(await docker('stop', '-t', '1', 'web_svr01'), { code: 0, stdout: 'web_svr01' })
    t.match(await docker('stop', 'web_svr01'), { code: 1, stderr: /No such container: web_svr01/ })
    t.strictSame(
      (await daemon.client.list()).filter(({ name }) => !name.startsWith('e')),
      [],
    )
    const seen: string[] = []
    while (!seen.includes('destroy web_svr01')) seen.push(await next())
    const own = seen.filter((line) => / (db|web_svr01)$/.test(line))
    t.strictSame(own, ['die db', 'destroy db', 'die web_svr01', 'destroy web_svr01'])
  })
})

t.test('dockerode', async (t) => {
  const { client, port } = await startHost(t)
  t.equal(String(await client.ping()), 'OK')
  t.match(await client.version(), { ApiVersion: '1.51', MinAPIVersion: '1.24' })
  t.match(await client.info(), { Containers: 2 })
  const [first] = await client.listContainers({ filters: { name: ['web'] } })
  t.match(first, { Names: ['/web_svr01'], State: 'running' })
  const container = client.getContainer(first?.Id.slice(0, 20) ?? '')
  t.match((await container.inspect()).NetworkSettings.Ports, {
    '53/udp': [{ HostIp: '127.0.0.1', HostPort: String(port + 1) }],
  })
  const events = (await client.getEvents({ filters: { event: ['die'] } }))[Symbol.asyncIterator]()
  t.equal(String((await events.next()).value).trim(), '', 'the reply begins at once')
  const event = events.next()
  await container.remove({ force: true })
  const { time, timeNano, ...rest } = JSON.parse(String((await event).value)) as Record<
    string,
    unknown
  >
  t.match(rest, { Type: 'container', Action: 'die', Actor: { Attributes: { name: 'web_svr01' } } })
  t.equal(Math.floor(Number(timeNano) / 1e9), time)
  await events.return?.()
  await t.rejects(container.inspect(), /HTTP code 404/)
  await t.rejects(client.createContainer({ Image: 'web' }), /HTTP code 501/)
  await t.rejects(client.listImages(), /HTTP code 501/)
  await t.rejects(client.getImage('library/web').inspect(), /HTTP code 404/)
})

t.test('versions are negotiated as dockerd does it', async (t) => {
  const { daemon } = await startHost(t)
  const ask = async (path: string, method = 'GET'): Promise<IncomingMessage> => {
    const sent = request({ socketPath: daemon.host.slice(7), path, method, agent: false }).end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    return response
  }
  for (const [path, method] of [
    ['/_ping', 'GET'],
    ['/_ping', 'HEAD'],
    ['/v1.41/_ping', 'GET'],
  ] as const) {
    const { statusCode, headers } = (await ask(path, method)).resume()
    t.match(
      { statusCode, headers },
      { statusCode: 200, headers: { 'api-version': '1.51', ostype: 'linux' } },
    )
  }
  for (const path of ['/containers/json', '/v1.24/containers/json', '/v1.51/containers/json']) {
    t.match(await json(await ask(path)), [{ Names: ['/db'] }, { Names: ['/web_svr01'] }])
  }
  const tooNew = await ask('/v1.99/containers/json')
  t.equal(tooNew.statusCode, 400)
  t.same(await json(tooNew), {
    code: 'bad-request',
    message: 'client version 1.99 is too new. Maximum supported API version is 1.51',
  })
  t.match(await json(await ask('/v1.12/version')), {
    message: /^client version 1\.12 is too old\. Minimum supported API version is 1\.24, please /,
  })
  for (const filters of [
    ...['{', '[]', '{"name":1,"x":[]}', '{"publish":["a"]}', '{"name":[{"toString":1}]}'],
    '{"name":["w.*b|x"]}',
  ]) {
    const { statusCode } = (
      await ask(`/containers/json?filters=${encodeURIComponent(filters)}`)
    ).resume()
    t.equal(statusCode, 400, filters)
  }
  for (const query of ['all=1&all=1', 'filters={"label":["constructor"],"id":[]}', 'limit=-1']) {
    const path = `/containers/json?${query}`
    t.equal((await ask(encodeURI(path))).resume().statusCode, 200, query)
  }
  for (const signal of ['HUP', 'BOGUS']) {
    const { statusCode } = (await ask(`/containers/db/kill?signal=${signal}`, 'POST')).resume()
    t.equal(statusCode, 400, signal)
  }
  for (const seconds of ['-2', '1e9', 'Infinity', 'x']) {
    const { statusCode } = (await ask(`/containers/db/stop?t=${seconds}`, 'POST')).resume()
    t.equal(statusCode, 400, seconds)
  }
  // Docker 20.10 sends maps.
  const old = encodeURIComponent('{"name":{"db":true}}')
  t.match(await json(await ask(`/containers/json?filters=${old}`)), [{ Names: ['/db'] }])
})
