import { createRequire } from 'node:module'
import { usesMusl } from './c-library.js'

/*
 * The foreign function interface: how a program in JavaScript calls functions of C. By koffi, which comes prebuilt.
 */

/** A C function; numbers and addresses go in, a number comes out. */
type NativeFunction = (...args: unknown[]) => number

export interface Ffi {
  /** A function of libc or of the program itself, by its prototype. Throws when there is none. */
  readonly declare: (prototype: string) => NativeFunction
  /** errno(3) after the call before. */
  readonly errno: () => number
  /** Where the buffer's bytes lie. They stay there; keep the buffer referenced while the address is used. */
  readonly addressOf: (buffer: NodeJS.ArrayBufferView) => number
  /**
   * The address of a C function that returns nothing and calls `callback`, for good.
   * @param parameters their types in C
   */
  readonly callback: (
    parameters: readonly string[],
    callback: (...args: number[]) => void,
  ) => bigint
}

type Koffi = typeof import('koffi')

let loaded: Ffi | Error | undefined

/** The interface, loaded with the first call. @throws Error saying why there is none on this platform */
export function requireFfi(): Ffi {
  if (loaded === undefined) {
    try {
      loaded = ffiOf(loadKoffi())
    } catch (err) {
      loaded = err as Error
    }
  }
  if (loaded instanceof Error) throw loaded
  return loaded
}

/**
 * koffi's own loader reads many small files to find out which of its binaries fits, which takes as long as all else that
 * a start needs. The one that fits by name first, then. One for another C library may load, and then end the process.
 */
function loadKoffi(): Koffi {
  const require = createRequire(import.meta.url)
  try {
    const folder = `@koromix/koffi-${process.platform}-${process.arch}`
    const kind = usesMusl() ? 'musl' : 'linux'
    const binary = { exports: {} }
    process.dlopen(binary, require.resolve(`${folder}/${kind}_${process.arch}/koffi.node`))
    return binary.exports as Koffi
  } catch {
    return loadByItsOwnLoader(require)
  }
}

function loadByItsOwnLoader(require: NodeJS.Require): Koffi {
  try {
    return require('koffi') as Koffi
  } catch (err) {
    const [reason] = (err instanceof Error ? err.message : String(err)).split('\n')
    throw new Error(
      `there is no koffi for ${process.platform} on ${process.arch} (${reason ?? ''}): reinstall with npm`,
      { cause: err },
    )
  }
}

function ffiOf(koffi: Koffi): Ffi {
  const program = koffi.load(null)
  /** Some distributions link Node with a libuv of their own, whose names its program does not give on. */
  let libuv: ReturnType<Koffi['load']> | undefined
  return {
    declare(prototype) {
      try {
        return program.func(prototype)
      } catch (err) {
        if (!prototype.includes(' uv_')) throw err
        libuv ??= koffi.load('libuv.so.1')
        return libuv.func(prototype)
      }
    },
    errno: () => koffi.errno(),
    addressOf: (buffer) => Number(koffi.address(buffer)),
    callback: (parameters, callback) =>
      koffi.register(callback, koffi.pointer(koffi.proto('void', [...parameters]))),
  }
}
