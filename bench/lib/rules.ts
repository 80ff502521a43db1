import { spawnSync } from 'node:child_process'
import { execaSync } from 'execa'

const TABLES = ['nat', 'filter', 'mangle', 'raw']

/** The machine's firewall as it is now; returns what brings that back, with tables that were not there gone. */
export function keepRules(): () => void {
  const saved = execaSync('iptables-save').stdout
  return () => {
    execaSync('iptables-restore', { input: `${saved}\n` })
    // iptables-restore leaves tables alone that it is told nothing of.
    for (const table of TABLES.filter((name) => !saved.includes(`*${name}\n`))) {
      spawnSync('nft', ['delete', 'table', 'ip', table])
    }
  }
}
