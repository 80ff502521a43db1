import { closeSync, openSync, readSync } from 'node:fs'

/* Offsets in Elf64_Ehdr and Elf64_Phdr, which are little-endian on x64 and arm64, see elf(5). */
const EHDR = { size: 64, phoff: 32, phentsize: 54, phnum: 56 }
const PHDR = { type: 0, offset: 8, filesz: 32 }
const PT_INTERP = 3

/**
 * Whether a program is linked with musl rather than glibc: a program names the loader of its C library.
 * @param program by default the running one
 * @throws SystemError if it can't be read
 */
export function usesMusl(program = '/proc/self/exe'): boolean {
  const fd = openSync(program, 'r')
  try {
    const read = (offset: number, length: number): Buffer => {
      const bytes = Buffer.alloc(length)
      readSync(fd, bytes, 0, length, offset)
      return bytes
    }
    const header = read(0, EHDR.size)
    const size = header.readUInt16LE(EHDR.phentsize)
    const table = read(
      Number(header.readBigUInt64LE(EHDR.phoff)),
      size * header.readUInt16LE(EHDR.phnum),
    )
    for (let at = 0; at < table.length; at += size) {
      if (table.readUInt32LE(at + PHDR.type) !== PT_INTERP) continue
      const [offset, length] = [PHDR.offset, PHDR.filesz].map((field) =>
        Number(table.readBigUInt64LE(at + field)),
      )
      return read(offset ?? 0, length ?? 0).includes('/ld-musl-')
    }
    return false
  } finally {
    closeSync(fd)
  }
}
