import { NODE_OPTIONS } from '../linux/node-options.js'

/** The name of the unit and of its file. */
export const UNIT = 'docker-proxyd.service'

/** The units that start it, once it is enabled. */
export const WANTED_BY = ['multi-user.target', 'docker.service'] as const

/**
 * What docker-proxyd may do, see systemd.exec(5). It reads descriptors of its launchers and copies their sockets (CAP_SYS_PTRACE,
 * pidfd_getfd), binds low ports, and reads settings files of any owner. V8 writes code at run time, so memory may be writable and executable.
 */
const SANDBOX = [
  'NoNewPrivileges=yes',
  'CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SYS_PTRACE CAP_DAC_READ_SEARCH',
  'ProtectSystem=full',
  'ProtectHome=read-only',
  'ProtectClock=yes',
  'ProtectControlGroups=yes',
  'ProtectHostname=yes',
  'ProtectKernelLogs=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelTunables=yes',
  'LockPersonality=yes',
  'RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service pidfd_getfd',
  'SystemCallErrorNumber=EPERM',
] as const

/**
 * The text of the unit that serves dockerd's ports. It starts before dockerd, and `reload` replaces it without losing a connection.
 * @param command the command line of docker-proxyd
 */
export function unitFile(command: readonly string[]): string {
  return `# Written by docker-publish install-userland-proxy, which may overwrite it: change it with systemctl edit.
[Unit]
Description=Ports that dockerd publishes, in one process
Before=docker.service
StartLimitIntervalSec=0

[Service]
Type=notify
Environment=NODE_OPTIONS=${NODE_OPTIONS}
EnvironmentFile=-/etc/default/docker-proxyd
NotifyAccess=all
ExecStart=${command.map(quote).join(' ')}
ExecReload=/bin/kill -USR2 $MAINPID
Restart=always
RestartSec=100ms
WatchdogSec=20
WatchdogSignal=SIGKILL
LimitNOFILE=1048576
OOMScoreAdjust=-500
${SANDBOX.join('\n')}

[Install]
WantedBy=${WANTED_BY.join(' ')}
`
}

/** Quotes a word for a command line of systemd, see systemd.service(5). */
function quote(word: string): string {
  const escaped = word.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')
  return /^[\w/.@:+-]+$/.test(word) ? word : `"${escaped.replaceAll('$', '$$$$')}"`
}
