import { readFileSync } from 'node:fs'

/** The unit of the daemon, as its documentation has it. */
export function documentedUnit(): string {
  const page = readFileSync('docs/docker-publish.md', 'utf8')
  const unit = /```ini\n(# \/etc\/systemd\/system\/docker-publish\.service[^]*?)```/.exec(page)?.[1]
  if (unit === undefined) throw new Error('docs/docker-publish.md has no unit')
  return unit
}

/**
 * A command that runs another one as its systemd unit would: with the capabilities of the unit and no new privileges, in a mount namespace
 * with folders that it can't write to (ProtectSystem). Needs root.
 * @param unit the text of the unit
 */
export function inSandboxOf(unit: string): string[] {
  const capabilities = /^CapabilityBoundingSet=(.*)$/m.exec(unit)?.[1] ?? ''
  const bounding = capabilities
    .toLowerCase()
    .replaceAll(/\bcap_/g, '+')
    .replaceAll(' ', ',')
  const readOnly = 'mount --bind /usr /usr; mount -o remount,bind,ro /usr; exec "$@"'
  return [
    ...['unshare', '--mount', 'sh', '-ec', readOnly, 'sh'],
    ...['setpriv', '--no-new-privs', '--inh-caps=-all', `--bounding-set=-all,${bounding}`],
  ]
}
