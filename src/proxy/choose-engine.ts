import type { Log } from '../log/log.js'
import { openNativeEngine } from './native/engine.js'
import type { Engine } from './engine.js'
import { SettingError, type Settings } from './settings.js'
import { streamsEngine } from './streams/engine.js'

/**
 * The engine of the settings; `auto` is the native one wherever that loads.
 *
 * @param fellBack called with the reason when `auto` is the streams engine
 * @throws SettingError for an engine that can't be had here
 */
export function chooseEngine(settings: Settings, fellBack: (reason: string) => void): Engine {
  if (settings.engine === 'streams') return streamsEngine
  try {
    return openNativeEngine(settings.workers)
  } catch (err) {
    const reason = err instanceof Error ? err.message : String(err)
    if (settings.engine === 'native') {
      throw new SettingError(
        `the engine "native" can't be had here: ${reason}; or set DOCKER_PROXY_ENGINE to auto or streams`,
      )
    }
    fellBack(reason)
    return streamsEngine
  }
}

/** The same, for a program that runs it. @throws SettingError */
export function openEngine(settings: Settings, log: Log): Engine {
  return chooseEngine(settings, (reason) =>
    log.debug('The engine is streams: native does not load', { reason }),
  )
}

/** Those of a process whose ports may each want another, opened with the first that does. */
export class Engines {
  readonly #opened = new Map<Engine['name'], Engine>()

  constructor(private readonly log: Log) {}

  /** @throws SettingError */
  of(settings: Settings): Engine {
    const wanted = settings.engine === 'auto' ? 'native' : settings.engine
    const known = this.#opened.get(wanted)
    if (known) return known
    const engine = openEngine(settings, this.log)
    this.#opened.set(engine.name, engine)
    return engine
  }
}
