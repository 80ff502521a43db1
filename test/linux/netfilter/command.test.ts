import t from 'tap'
import { runFirewall } from '../../../src/linux/netfilter/command.js'

t.test('a command gets its input and gives its output', async (t) => {
  t.equal(await runFirewall(['cat'], 'rules\n'), 'rules\n')
  t.equal(await runFirewall(['sh', '-c', 'exec <&-; echo $LC_ALL'], 'x'.repeat(1e6)), 'C\n')
})

t.test('a command that fails is one line', async (t) => {
  await t.rejects(runFirewall(['sh', '-c', 'echo first >&2; echo second >&2; exit 1']), {
    code: 'EFAILED',
    message: 'sh failed: first',
  })
  await t.rejects(runFirewall(['sh', '-c', 'exit 3']), { message: 'sh failed: code 3' })
  await t.rejects(runFirewall(['no-such-command']), {
    code: 'EMISSING',
    message: "can't run no-such-command: it is not installed",
  })
  await t.rejects(runFirewall(['/dev/null']), { code: 'EFAILED', message: /permission denied$/ })
})
