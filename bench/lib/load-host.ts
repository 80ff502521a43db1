/** The variable by which a site tells programs of bench/load their address. */
export const HOST_VARIABLE = 'BENCH_HOST'

/** The address that this program of bench/load connects to, or listens on. */
export const HOST = process.env[HOST_VARIABLE] ?? '127.0.0.1'
