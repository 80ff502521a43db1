import { execFileSync, spawnSync } from 'node:child_process'

const TABLES = ['nat', 'filter', 'mangle', 'raw']

/** The machine's firewall as it is now; returns what brings that back, with tables that were not there gone. */
export function keepRules(): () => void {
  const saved = execFileSync('iptables-save', { encoding: 'utf8' })
  return () => {
    execFileSync('iptables-restore', { input: saved })
    // iptables-restore leaves tables alone that it is told nothing of.
    for (const table of TABLES.filter((name) => !saved.includes(`*${name}\n`))) {
      spawnSync('nft', ['delete', 'table', 'ip', table])
    }
  }
}
