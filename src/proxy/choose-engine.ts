import type { Engine } from './engine.js'
import { SettingError, type Settings } from './settings.js'
import { streamsEngine } from './streams/engine.js'

/** @throws SettingError for an engine this build does not have */
export function chooseEngine(settings: Settings): Engine {
  if (settings.engine === 'native') {
    throw new SettingError(
      'the engine "native" is not in this version: set DOCKER_PROXY_ENGINE to auto or streams',
    )
  }
  return streamsEngine
}
