import type { Log } from '../log/log.js'
import type { Engine } from './engine.js'
import { openNativeEngine } from './native/engine.js'
import { SettingError, type Settings } from './settings.js'
import { streamsEngine } from './streams/engine.js'

/**
 * Opens the engine that the settings name. `auto` is the native engine wherever it loads.
 *
 * @param log for what concerns the engine as a whole, not one port
 * @param onFallback called with the reason if `auto` falls back to the streams engine
 * @throws SettingError if the engine is not available here
 */
export function chooseEngine(
  settings: Settings,
  log: Log,
  onFallback: (reason: string) => void,
): Engine {
  if (settings.engine === 'streams') return streamsEngine
  try {
    return openNativeEngine(log, settings.workers)
  } catch (err) {
    const reason = err instanceof Error ? err.message : String(err)
    if (settings.engine === 'native') {
      throw new SettingError(
        `the engine "native" is not available here: ${reason}; or set DOCKER_PROXY_ENGINE to auto or streams`,
      )
    }
    onFallback(reason)
    return streamsEngine
  }
}

/** Opens the engine that the settings name, and logs a fallback. @throws SettingError */
export function openEngine(settings: Settings, log: Log): Engine {
  return chooseEngine(settings, log, (reason) =>
    log.debug('The engine is streams: native does not load', { reason }),
  )
}

/** The engines of a process whose ports may have different settings. Each is opened when the first port needs it. */
export class Engines {
  readonly #opened = new Map<Engine['name'], Engine>()

  constructor(private readonly log: Log) {}

  /** @throws SettingError */
  engineFor(settings: Settings): Engine {
    const wanted = settings.engine === 'auto' ? 'native' : settings.engine
    const opened = this.#opened.get(wanted)
    if (opened) return opened
    const engine = openEngine(settings, this.log)
    this.#opened.set(engine.name, engine)
    return engine
  }
}
