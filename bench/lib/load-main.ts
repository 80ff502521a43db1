/** Runs a program of bench/load; what ends it is its last line on stderr, which the benchmark tells. */
export function loadMain(main: () => void | Promise<void>): void {
  Promise.resolve()
    .then(main)
    .catch((err: unknown) => {
      console.error(err instanceof Error ? err.message : String(err))
      process.exit(1)
    })
}
