import type { Log } from '../log/log.js'
import type { BoundPort } from '../ports/allocator.js'
import { Refusal } from '../ports/refusal.js'
import type { Publication } from './publication.js'
import type { StateFile } from './state-file.js'

/** The publications of a controller by name, and the file that keeps them. */
export class Publications {
  /** Includes publications that are still starting, so that a name is given only once. */
  readonly #all = new Map<string, Publication>()
  readonly #completed = new Set<Publication>()
  #isSaveDue = false
  #isFrozen = false

  /** @param state undefined if publications end with this process */
  constructor(
    private readonly state: StateFile | undefined,
    private readonly log: Log,
  ) {}

  /** Includes publications that are starting or ending. */
  get all(): readonly Publication[] {
    return [...this.#all.values()]
  }

  /** Those whose ports are all served. Only these are saved. */
  get completed(): readonly Publication[] {
    return [...this.#completed]
  }

  has(name: string): boolean {
    return this.#all.has(name)
  }

  isComplete(publication: Publication): boolean {
    return this.#completed.has(publication)
  }

  /** @throws Refusal if there is no publication of this name */
  find(name: string): Publication {
    const publication = this.#all.get(name)
    if (publication) return publication
    const names = [...this.#all.keys()]
    const hint = names.length > 0 ? `published: ${names.join(', ')}` : 'nothing is published'
    throw new Refusal('no-such-publication', `no such publication: ${name} (${hint})`)
  }

  /** @throws Refusal if a publication has this name */
  refuseTakenName(name: string): void {
    const taken = this.#all.get(name)
    if (!taken) return
    throw new Refusal(
      'name-in-use',
      `the name ${name} is in use by the publication of ${taken.destination}: withdraw it, or choose another name`,
    )
  }

  /** Makes a name for a publication without one. */
  nameFor([first]: readonly BoundPort[]): string {
    const base = `port-${first?.port ?? 0}`
    if (!this.#all.has(base)) return base
    for (let i = 2; ; i++) if (!this.#all.has(`${base}-${i}`)) return `${base}-${i}`
  }

  /** Registers a publication that is starting. */
  begin(publication: Publication): void {
    this.#all.set(publication.name, publication)
  }

  /** All ports of the publication are served from now on. The caller saves. */
  complete(publication: Publication): void {
    this.#completed.add(publication)
  }

  /** The publication is no longer saved. @returns false if it was not complete */
  withdraw(publication: Publication): boolean {
    return this.#completed.delete(publication)
  }

  /** The ports of the publication are free, and so is its name. */
  forget(publication: Publication): void {
    this.#all.delete(publication.name)
    this.#completed.delete(publication)
  }

  /** Leaves the file as it is from now on, for the next daemon. */
  freeze(): void {
    this.#isFrozen = true
  }

  /** @throws Refusal if the file can't be written */
  save(): void {
    if (this.#isFrozen) return
    this.state?.save(this.completed.map(({ saved }) => saved))
  }

  /** Saves once for all changes of this turn of the event loop. */
  saveSoon(): void {
    if (this.#isSaveDue) return
    this.#isSaveDue = true
    setImmediate(() => {
      this.#isSaveDue = false
      try {
        this.save()
      } catch (err) {
        // The next change saves it as well.
        this.log.error((err as Error).message)
      }
    })
  }
}
