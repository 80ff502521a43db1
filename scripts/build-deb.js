/**
 * Makes build/docker-proxy_VERSION_ARCH.deb of build/standalone/: programs, units, man pages, completions and default settings. Nothing in it
 * starts by itself. Needs dpkg-deb, gzip and help2man.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import console from 'node:console'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const PACKAGE = 'docker-proxy'
const PROGRAMS = '/usr/lib/docker-proxy'
const UNITS = '/usr/lib/systemd/system'
/** Debian's names of architectures. */
const ARCHITECTURES = new Map([
  ['x64', 'amd64'],
  ['arm64', 'arm64'],
])

// Users of the package read its files.
process.umask(0o022)
process.chdir(fileURLToPath(import.meta.resolve('..')))
/** @type {{ version: string, description: string }} */
const { version: own, description } = JSON.parse(readFileSync('package.json', 'utf8'))
/** Another one makes an upgrade of the same sources, for tests. */
const version = process.env['DEB_VERSION'] ?? own
const architecture = ARCHITECTURES.get(process.arch) ?? process.arch
const standalone = resolve('build/standalone')
const root = mkdtempSync(join(tmpdir(), 'deb-'))
chmodSync(root, 0o755)
try {
  addPrograms()
  addUnits()
  addManuals()
  addCompletions()
  addDocuments()
  addControl()
  const file = `build/${PACKAGE}_${version}_${architecture}.deb`
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', root, file])
  console.log(file)
} finally {
  rmSync(root, { recursive: true, force: true })
}

function addPrograms() {
  cpSync(standalone, at(PROGRAMS), { recursive: true })
  rmSync(at(`${PROGRAMS}/start.js`))
  replaceIn(`${PROGRAMS}/docker-proxy`, standalone, PROGRAMS)
  link('/usr/bin/docker-publish', '../lib/docker-proxy/docker-publish')
  link('/usr/sbin/docker-proxyd', '../lib/docker-proxy/docker-proxyd')
  // Here the docker command finds it as `docker publish`.
  link('/usr/libexec/docker/cli-plugins/docker-publish', '../../../lib/docker-proxy/docker-publish')
}

function addUnits() {
  for (const unit of readdirSync('packaging/systemd')) {
    write(`${UNITS}/${unit}`, readFileSync(join('packaging/systemd', unit), 'utf8'))
  }
  // The unit that install-userland-proxy would write.
  const folder = mkdtempSync(join(tmpdir(), 'unit-'))
  const places = ['--config-file', join(folder, 'daemon.json'), '--unit-dir', folder]
  run(join(standalone, 'docker-publish'), ['install-userland-proxy', ...places])
  const unit = readFileSync(join(folder, 'docker-proxyd.service'), 'utf8')
  rmSync(folder, { recursive: true })
  write(
    `${UNITS}/docker-proxyd.service`,
    unit
      .replace(/^#.*\n/, '')
      .replace('\n\n[Service]', '\nDocumentation=man:docker-proxyd(8)\n\n[Service]')
      .replaceAll(standalone, PROGRAMS),
  )
  for (const name of readdirSync('packaging/default')) {
    write(`/etc/default/${name}`, readFileSync(join('packaging/default', name), 'utf8'))
  }
}

function addManuals() {
  const help = run(join(standalone, 'docker-publish'), ['--help'])
  const commands = [...help.matchAll(/^ {2}docker-publish ([\w-]+)/gm)].map(([, name = '']) => name)
  addManual(1, 'docker-publish', 'publish ports of containers')
  for (const command of new Set(commands)) {
    // It prints its script instead of a help.
    if (command === 'completion') continue
    const [, summary = ''] =
      /\n\n(.+?)\n\n/s.exec(run(join(standalone, 'docker-publish'), [command, '--help'])) ?? []
    const first = summary.replaceAll(/\s+/g, ' ')
    addManual(1, `docker-publish ${command}`, first.charAt(0).toLowerCase() + first.slice(1))
  }
  addManual(8, 'docker-proxyd', 'serve the ports of all docker-proxies in one process')
  const drop = readFileSync('packaging/docker-proxy.8', 'utf8').replace('@VERSION@', version)
  addCompressed('/usr/share/man/man8/docker-proxy.8', drop)
}

/**
 * @param {1 | 8} section
 * @param {string} command
 * @param {string} summary
 */
function addManual(section, command, summary) {
  const text = run('help2man', [
    ...['--no-info', '--no-discard-stderr', `--section=${section}`, `--name=${summary}`],
    ...[`--version-string=${version}`, join(standalone, command)],
  ])
  const page = command.replace(' ', '-')
  const manual = text
    .replace(/^\.TH .* "(?=\d")/m, `.TH ${page.toUpperCase()} "`)
    .replace(/(?<=^\.SH NAME\n).* \\- /m, `${page.replaceAll('-', '\\-')} \\- `)
    .replaceAll(/ {2,}\[/g, ' [')
    .replaceAll(standalone, PROGRAMS)
  addCompressed(`/usr/share/man/man${section}/${page}.${section}`, manual)
}

function addCompletions() {
  const script = (/** @type {string} */ shell) =>
    run(join(standalone, 'docker-publish'), ['completion'], { SHELL: `/bin/${shell}` }).replaceAll(
      join(standalone, 'docker-publish'),
      'docker-publish',
    )
  write('/usr/share/bash-completion/completions/docker-publish', script('bash'))
  write('/usr/share/zsh/vendor-completions/_docker-publish', script('zsh'))
}

function addDocuments() {
  const folder = `/usr/share/doc/${PACKAGE}`
  for (const name of ['README.md', 'SECURITY.md', 'docs']) {
    cpSync(name, at(`${folder}/${name}`), { recursive: true })
  }
  addCompressed(`${folder}/changelog`, readFileSync('CHANGELOG.md', 'utf8'))
  write(
    `${folder}/copyright`,
    `${readFileSync('LICENSE', 'utf8')}\nThe bundled libraries and their licences: ${PROGRAMS}/THIRD-PARTY-LICENSES.txt\n`,
  )
}

function addControl() {
  const [kilobytes = ''] = run('du', ['-sk', root]).split('\t')
  write(
    '/DEBIAN/control',
    `Package: ${PACKAGE}
Version: ${version}
Architecture: ${architecture}
Maintainer: docker-proxy <root@localhost>
Installed-Size: ${kilobytes}
Depends: libc6 (>= 2.28), libstdc++6
Recommends: nftables
Enhances: docker.io, podman
Section: net
Priority: optional
Description: ${description.replace(/\.$/, '')}
 docker-publish publishes ports of running containers, and names the holder
 of a port. docker-proxy is a drop-in for Docker's own, and docker-proxyd
 serves the ports of many docker-proxies in one process.
`,
  )
  const settings = readdirSync('packaging/default').map((name) => `/etc/default/${name}\n`)
  write('/DEBIAN/conffiles', settings.join(''))
  for (const script of readdirSync('packaging/debian')) {
    write(`/DEBIAN/${script}`, readFileSync(join('packaging/debian', script), 'utf8'), 0o755)
  }
}

/**
 * @param {string} path in the package
 * @returns {string} the path of the file here; its folder exists
 */
function at(path) {
  const here = join(root, path)
  mkdirSync(dirname(here), { recursive: true })
  return here
}

/**
 * @param {string} path in the package
 * @param {string} text
 * @param {number} [mode]
 */
function write(path, text, mode = 0o644) {
  writeFileSync(at(path), text)
  chmodSync(at(path), mode)
}

/**
 * @param {string} path in the package
 * @param {string} text
 */
function addCompressed(path, text) {
  write(path, text)
  run('gzip', ['-9n', at(path)])
}

/**
 * @param {string} path in the package
 * @param {string} target
 */
function link(path, target) {
  symlinkSync(target, at(path))
}

/**
 * @param {string} path in the package
 * @param {string} from
 * @param {string} to
 */
function replaceIn(path, from, to) {
  const text = readFileSync(at(path), 'utf8')
  if (!text.includes(from)) throw new Error(`${basename(path)} does not contain ${from}`)
  writeFileSync(at(path), text.replaceAll(from, to))
}

/**
 * @param {string} program
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string} stdout
 */
function run(program, args, env = {}) {
  try {
    // Wide, so that help2man gets one line for each option.
    const environment = { ...process.env, COLUMNS: '200', ...env }
    return execFileSync(program, args, { encoding: 'utf8', env: environment })
  } catch (err) {
    if (/** @type {NodeJS.ErrnoException} */ (err).code !== 'ENOENT') throw err
    console.error(`can't build: ${program} is missing; apt-get install ${program}`)
    return process.exit(1)
  }
}
