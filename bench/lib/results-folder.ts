import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errnoReason } from '../../src/linux/errno.js'
import { lineChart } from './line-chart.js'
import { formatReport } from './report.js'
import type { Results } from './results.js'

/** The folder of a run's results. Results are written after each scenario. */
export class ResultsFolder {
  /**
   * Makes the folder, and checks that it is writable before anything is measured.
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
   * Replaces the earlier results, each file as a whole.
   * @returns the files for people
   * @throws Error as above; files that were not replaced are unchanged
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

/** Makes a folder and its parents. Node's recursive mkdir loops for ever where a parent can't be made, as in /proc. */
function makeFolder(path: string): void {
  if (existsSync(path) && statSync(path).isDirectory()) return
  if (!existsSync(dirname(path))) makeFolder(dirname(path))
  mkdirSync(path)
}
