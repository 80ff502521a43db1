/** The unit's name, and its file in systemd's folder. */
export const UNIT = 'docker-proxyd.service'

/** What has it started with it, once it is enabled. */
export const WANTED_BY = ['multi-user.target', 'docker.service'] as const

/**
 * The service that serves dockerd's ports; it is there before dockerd, and replaced without a connection lost by `reload`.
 * @param command docker-proxyd, with what runs it
 */
export function unitFile(command: readonly string[]): string {
  return `# Written by docker-publish install-userland-proxy, and again by the next one: change it by systemctl edit.
[Unit]
Description=Ports that dockerd publishes, in one process
Before=docker.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
ExecStart=${command.map(quote).join(' ')}
ExecReload=/bin/kill -USR2 $MAINPID
Restart=always
RestartSec=100ms
WatchdogSec=20
WatchdogSignal=SIGKILL
LimitNOFILE=1048576
OOMScoreAdjust=-500

[Install]
WantedBy=${WANTED_BY.join(' ')}
`
}

/** As a command line of systemd's takes it, see systemd.service(5). */
function quote(word: string): string {
  const escaped = word.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')
  return /^[\w/.@:+-]+$/.test(word) ? word : `"${escaped.replaceAll('$', '$$$$')}"`
}
