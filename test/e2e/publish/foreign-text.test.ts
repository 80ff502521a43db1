import { once } from 'node:events'
import t from 'tap'
import { serveHttp } from '../../lib/http-socket.js'
import { run } from '../../lib/program.js'
import { publish, startDaemon } from '../../lib/publish.js'

/* Text of others must not act on a terminal: it can't move the cursor, and adds no line. */

/** Clears the line, and claims what is not so. */
const ESCAPE = '\x1b[2K\x9b2K\r\u202e8080 is free\x07'
const LINE = '\ninjected'
/** What no output may contain, apart from the ends of its own lines. */
const UNSAFE = /[^\n\P{Cc}]|\p{Bidi_Control}/u

t.test('the answers of a remote daemon', async (t) => {
  const text = ESCAPE + LINE
  const port = {
    ...{ protocol: `tcp${text}`, hostIp: `127.0.0.1${text}`, hostPort: 8080, containerPort: 80 },
    ...{ state: `up${text}`, reason: text, restarts: 1, connections: 0, holdsSocket: true },
  }
  const publication = {
    ...{ name: `web${text}`, backend: `127.0.0.2${text}`, created: text, isolation: text },
    ports: [port],
  }
  const refusal = {
    ...{ code: 'port-in-use', message: `taken ${text}` },
    holder: { kind: 'process', pid: 1, command: text, user: text, address: text },
    suggestions: { ports: [], ips: [text] },
  }
  const host = await serveHttp(t, ({ url, method }, response) => {
    if (url === '/v1/publications' && method === 'POST') {
      response.statusCode = 409
      return void response.end(JSON.stringify(refusal))
    }
    const answers: Record<string, unknown> = {
      '/v1/publications': [publication],
      '/v1/check': [{ protocol: 'tcp', ip: text, port: 8080 }],
      '/v1/docker-ports': [{ ...port, container: text, containerIp: text, since: text, pid: 1 }],
      '/v1/events': { type: 'restarting', name: text, time: text, reason: text, port },
    }
    response.end(JSON.stringify(answers[url ?? ''] ?? publication))
  })
  for (const args of [
    ['ls'],
    ['ls', '--all'],
    ['ls', '--quiet'],
    ['ls', '--format', 'json'],
    ['ls', '--format', '{{.Name}} {{.Ports}}'],
    ['ls', '--format', '{{json .}}'],
    ['inspect', 'web'],
    ['inspect', '--format', '{{.name}} {{.backend}}', 'web'],
    ['port', 'web'],
    ['check', '-p', '8080:80'],
    ['add', '-p', '8080:80', '127.0.0.2'],
    ['events'],
  ]) {
    const { stdout, stderr } = await publish(t, args, { DOCKER_PUBLISH_HOST: host })
    const output = stdout + stderr
    t.match(output, /8080 is free/, `${args.join(' ')} prints it`)
    t.notMatch(output, UNSAFE, args.join(' '))
    if (args.includes('{{json .}}')) t.ok(JSON.parse(stdout), 'it is JSON')
    // A refusal has lines of its own.
    if (args[0] !== 'add') t.notMatch(output, /^injected/m, args.join(' '))
  }
})

t.test('the command line of a holder, in a report and in the log', async (t) => {
  const daemon = await startDaemon(t)
  const script = `
    process.title = ${JSON.stringify(`x${ESCAPE}`)}
    const server = require('node:net').createServer().listen(0, '127.0.0.1', () => {
      console.log(server.address().port)
    })`
  const holder = run(t, ['-e', script], { program: process.execPath, status: 'ignore' })
  const [line] = (await once(holder.child.stdout ?? t, 'data')) as [Buffer]
  const spec = `127.0.0.1:${String(line).trim()}:80`
  for (const args of [
    ['check', '-p', spec],
    ['add', '-p', spec, '127.0.0.2'],
  ]) {
    const { code, stdout, stderr } = await daemon.cli(...args)
    t.equal(code, 125)
    t.match(stderr, '\\x1b[2K\\x9b2K \\u202e8080 is free\\x07', 'a return is a space')
    t.notMatch(stdout + stderr, UNSAFE)
  }
  await daemon.end('SIGTERM')
  t.notMatch(await daemon.running.stderr, UNSAFE)
})
