import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errnoReason } from '../../src/linux/errno.js'
import { lineChart } from './line-chart.js'
import { formatReport } from './report.js'
import type { Results } from './results.js'

/** The folder that a run's results go to; they are there from the first scenario on. */
export class ResultsFolder {
  /**
   * Makes it, and sees that it can be written to before anything is measured.
   * @throws Error with a sentence for the user
   */
  constructor(private readonly path: string) {
    this.#orSay(() => {
      makeFolder(path)
      const probe = join(path, '.bench')
      writeFileSync(probe, '')
      rmSync(probe)
    })
  }

  /**
   * Puts these results in the place of those that are there, whole files at once.
   * @returns the files that people read
   * @throws Error as above; what was there is as it was, but for files that were whole
   */
  write(results: Results): string[] {
    const ours = results.peers.filter(({ isOurs }) => isOurs).map(({ name }) => name)
    return this.#orSay(() => {
      for (const scenario of results.scenarios) {
        const chart = lineChart(scenario, ours)
        if (chart !== undefined) this.#replace(`${scenario.name}.svg`, chart)
      }
      return [
        this.#replace('results.json', `${JSON.stringify(results, null, 2)}\n`),
        this.#replace('report.html', formatReport(results)),
      ]
    })
  }

  #replace(name: string, text: string): string {
    const path = join(this.path, name)
    const fresh = `${path}.new`
    try {
      writeFileSync(fresh, text)
      renameSync(fresh, path)
    } catch (err) {
      rmSync(fresh, { force: true })
      throw err
    }
    return path
  }

  #orSay<T>(work: () => T): T {
    try {
      return work()
    } catch (err) {
      throw new Error(
        `can't write results to ${JSON.stringify(this.path)}: ${errnoReason(err)}; name another folder with --out`,
        { cause: err },
      )
    }
  }
}

/** With its parents; Node's own way with these goes round and round where they can't be had, as in /proc. */
function makeFolder(path: string): void {
  if (existsSync(path) && statSync(path).isDirectory()) return
  if (!existsSync(dirname(path))) makeFolder(dirname(path))
  mkdirSync(path)
}
