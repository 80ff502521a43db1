import t from 'tap'
import { releaseFilePages, unchangedMappings } from '../../../src/linux/ffi/file-pages.js'
import { memoryFigure } from '../../lib/proc.js'

const mapping = (address: string, rights: string, path: string, anonymous = 0, swap = 0): string =>
  `${address} ${rights} 00001000 08:01 1234   ${path}
Size:               1000 kB
Rss:                 900 kB
Private_Dirty:         0 kB
Anonymous:      ${String(anonymous).padStart(8)} kB
LazyFree:              0 kB
Swap:           ${String(swap).padStart(8)} kB
SwapPss:               0 kB
THPeligible:           0
VmFlags: rd ex mr mw me sd
`

t.test('changed pages count, in memory or in swap', async (t) => {
  const smaps = [
    mapping('1000-3000', 'r-xp', '/usr/bin/node'),
    mapping('3000-4000', 'r--p', '/usr/bin/node with a space'),
    mapping('4000-5000', 'r--p', '/usr/lib/relocated.so', 4),
    mapping('5000-6000', 'r--p', '/usr/lib/swapped.so', 0, 4),
    mapping('6000-7000', 'rw-p', '/usr/bin/node'),
    mapping('7000-8000', 'r--s', '/usr/share/shared'),
    mapping('8000-9000', 'r-xp', ''),
    mapping('9000-a000', 'r-xp', '[vdso]'),
    mapping('7f00deadb000-7f00deadc000', 'r-xp', '/usr/lib/last.so'),
  ].join('')
  t.strictSame(unchangedMappings(smaps), [
    [0x1000, 0x3000],
    [0x3000, 0x4000],
    [0x7f00deadb000, 0x7f00deadc000],
  ])
  t.strictSame(unchangedMappings(''), [])
})

t.test('a process goes on with less memory', async (t) => {
  const before = memoryFigure(process.pid, 'RssFile')
  releaseFilePages()
  const after = memoryFigure(process.pid, 'RssFile')
  t.ok(after < before / 2, `${after} of ${before} bytes`)
})
