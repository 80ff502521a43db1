import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { usesMusl } from '../../../src/linux/ffi/uses-musl.js'

/** The part of a program that its loader reads: an ELF header, the headers of a segment and of the loader's name, and that name. */
function programWith(t: Test, loader: string): string {
  const [PT_LOAD, PT_INTERP] = [1, 3]
  const [ehdr, phdr] = [Buffer.alloc(64), Buffer.alloc(56)]
  ehdr.write('\x7fELF', 'latin1')
  ehdr.writeBigUInt64LE(64n, 32)
  ehdr.writeUInt16LE(phdr.length, 54)
  ehdr.writeUInt16LE(2, 56)
  const segment = Buffer.from(phdr)
  segment.writeUInt32LE(PT_LOAD)
  const name = Buffer.from(`${loader}\0`)
  phdr.writeUInt32LE(PT_INTERP)
  phdr.writeBigUInt64LE(BigInt(ehdr.length + 2 * phdr.length), 8)
  phdr.writeBigUInt64LE(BigInt(name.length), 32)
  const path = join(t.testdir(), 'program')
  writeFileSync(path, Buffer.concat([ehdr, segment, phdr, name]))
  return path
}

t.test('a program says by its loader which C library it needs', async (t) => {
  t.equal(usesMusl(programWith(t, '/lib/ld-musl-x86_64.so.1')), true)
  t.equal(usesMusl(programWith(t, '/lib/ld-musl-aarch64.so.1')), true)
  t.equal(usesMusl(programWith(t, '/lib64/ld-linux-x86-64.so.2')), false)
})

t.test('this one as well', async (t) => {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }
  t.equal(usesMusl(), header.glibcVersionRuntime === undefined)
})

t.test('a file that is no program throws', async (t) => {
  t.throws(() => usesMusl('/no/such/program'), { code: 'ENOENT' })
  const path = join(t.testdir({ text: 'short' }), 'text')
  t.equal(usesMusl(path), false)
})
