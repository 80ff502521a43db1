/**
 * Runs docker-publish with real sockets, and draws what a terminal shows as docs/terminal.svg: npm run picture.
 * Small servers play the containers. Port 8080 must be free.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'

const PROGRAM = 'dist/docker-publish'
const COLUMNS = 112
/** Width of a character and height of a line at this font size, pixels. */
const CHAR_WIDTH = 8.43
const LINE_HEIGHT = 20
const MARGIN = 20
const TITLE_HEIGHT = 36

/** The commands of the picture. */
const COMMANDS = [
  'docker-publish add -p 8080:80 --name web_svr01 127.17.0.2',
  'curl http://127.0.0.1:8080/',
  'docker-publish add -p 8080:90 --name web_svr02 127.17.0.3',
  'docker-publish add -p 8081:90 --name web_svr02 127.17.0.3',
  'docker-publish ls',
]

const folder = mkdtempSync(join(tmpdir(), 'picture-'))
const host = `unix://${join(folder, 'socket')}`
/** @type {[string, number, string][]} */
const containers = [
  ['127.17.0.2', 80, 'web_svr01'],
  ['127.17.0.3', 90, 'web_svr02'],
]
const servers = await Promise.all(containers.map(([ip, port, name]) => serve(ip, port, name)))
const folders = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')]
const daemon = spawn(PROGRAM, ['daemon', '-H', host, ...folders], {
  stdio: ['ignore', 'ignore', 'pipe'],
})
try {
  await once(daemon.stderr, 'data')
  const lines = []
  for (const command of COMMANDS) lines.push(`$ ${command}`, ...(await run(command)))
  writeFileSync('docs/terminal.svg', draw(lines))
} finally {
  const exit = once(daemon, 'exit')
  daemon.kill('SIGTERM')
  await exit
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
  rmSync(folder, { recursive: true })
}

/**
 * @param {string} ip
 * @param {number} port
 * @param {string} name
 */
async function serve(ip, port, name) {
  const server = createServer((_, response) => void response.end(`Hello from ${name}\n`))
  server.listen(port, ip)
  await once(server, 'listening')
  return server
}

/**
 * @param {string} command
 * @returns {Promise<string[]>} the lines of its output
 */
async function run(command) {
  const [name = '', ...args] = command.split(' ')
  const child = spawn(name === 'docker-publish' ? PROGRAM : name, args, {
    env: { ...process.env, DOCKER_PUBLISH_HOST: host },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (/** @type {Buffer} */ data) => {
      if (name !== 'curl' || stream === child.stdout) output += data.toString()
    })
  }
  await once(child, 'close')
  return output.trimEnd().split('\n').flatMap(wrap)
}

/**
 * Breaks a line as a terminal does.
 * @param {string} line
 */
function wrap(line) {
  return line.match(new RegExp(`.{1,${COLUMNS}}`, 'g')) ?? ['']
}

/**
 * @param {string[]} lines
 * @returns {string} an SVG of a terminal
 */
function draw(lines) {
  const width = Math.ceil(COLUMNS * CHAR_WIDTH + 2 * MARGIN)
  const height = TITLE_HEIGHT + lines.length * LINE_HEIGHT + MARGIN
  const text = lines.map((line, i) => {
    const y = TITLE_HEIGHT + (i + 1) * LINE_HEIGHT
    const color = line.startsWith('$ ') ? '#e6edf3' : /^Bind for/.test(line) ? '#ff9e8f' : '#9fb1c1'
    return `<text x="${MARGIN}" y="${y}" fill="${color}">${escape(line)}</text>`
  })
  const dots = ['#ff5f57', '#febc2e', '#28c840'].map(
    (color, i) => `<circle cx="${MARGIN + 4 + i * 20}" cy="18" r="6" fill="${color}"/>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>docker-publish on a terminal: a port is published, a conflict names its holder</title>
<rect width="100%" height="100%" rx="8" fill="#14191f"/>
${dots.join('\n')}
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">
${text.join('\n')}
</g>
</svg>
`
}

/**
 * Escapes text for XML. Spaces become no-break spaces, because renderers of SVG collapse spaces.
 * @param {string} text
 */
function escape(text) {
  const spaced = text.replaceAll(' ', '\u00a0')
  return spaced.replace(
    /[&<>]/g,
    (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[char] ?? '',
  )
}
