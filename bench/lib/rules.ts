import { spawnSync } from 'node:child_process'
import { execaSync } from 'execa'

const TABLES = ['nat', 'filter', 'mangle', 'raw']

/** Saves the machine's firewall. @returns a function that restores it, and removes tables that did not exist */
export function keepRules(): () => void {
  const saved = execaSync('iptables-save').stdout
  return () => {
    execaSync('iptables-restore', { input: `${saved}\n` })
    // iptables-restore does not change tables that its input does not name.
    for (const table of TABLES.filter((name) => !saved.includes(`*${name}\n`))) {
      spawnSync('nft', ['delete', 'table', 'ip', table])
    }
  }
}
