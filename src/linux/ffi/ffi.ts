import { createRequire } from 'node:module'
import { usesMusl } from './uses-musl.js'

/*
 * The foreign function interface, by which JavaScript calls C functions: koffi, which npm delivers prebuilt.
 */

/** A C function that takes numbers and addresses, and returns a number. */
type NativeFunction = (...args: unknown[]) => number

export interface Ffi {
  /** Finds a function of libc or of the program itself by its prototype. Throws if there is none. */
  readonly declare: (prototype: string) => NativeFunction
  /** errno(3) after the last call. */
  readonly errno: () => number
  /** The address of a buffer's bytes, which never move. Keep the buffer referenced while the address is used. */
  readonly addressOf: (buffer: NodeJS.ArrayBufferView) => number
  /**
   * Makes a C function that returns nothing and calls `callback`. It is never freed.
   * @param parameters C types
   * @returns its address
   */
  readonly callback: (
    parameters: readonly string[],
    callback: (...args: number[]) => void,
  ) => bigint
}

type Koffi = typeof import('koffi')

let loaded: Ffi | Error | undefined

/** Loads the interface with the first call. @throws Error that says why there is none on this platform */
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
 * Loads the koffi binary whose name fits. koffi's own loader reads many small files to find it, which takes as long as the rest of a
 * start. A binary for another C library may load, and then end the process.
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
  /** Some distributions link Node with a shared libuv, whose symbols the program does not export. */
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
