const given = process.env['FAULTS']

/** How often a fault is provoked. */
export const ROUNDS = Number(given ?? 1)

/** These tests take too long for the suite. */
export const withoutFaults = given === undefined && '"npm run test:faults" runs it'
