/** Runs a program of bench/load. Any error becomes its last line on stderr, which the benchmark shows. */
export function loadMain(main: () => void | Promise<void>): void {
  process.on('uncaughtException', fail)
  Promise.resolve().then(main).catch(fail)
}

function fail(err: unknown): never {
  console.error(err instanceof Error ? err.message : String(err))
  process.exit(1)
}
