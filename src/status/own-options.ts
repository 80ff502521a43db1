import type { Proxy } from '../proxy/engine.js'
import type { LogObserver } from '../proxy/log-observer.js'
import { optionEnvironment, WITHOUT_OPTIONS, type PortOptionTexts } from '../proxy/port-options.js'
import { readSettings } from '../proxy/settings.js'

/** A proxy, and what writes its access log. */
interface OptionFollower {
  readonly proxy: Pick<Proxy, 'changeOptions'>
  readonly observer: Pick<LogObserver, 'accessLog'>
}

/**
 * Has ports of this process follow the options that the environment and the settings file have now.
 * @throws SettingError. The ports keep their options then.
 */
export function readOptionsAgain(ports: readonly OptionFollower[]): void {
  followOptions(ports, process.env)
}

/**
 * As readOptionsAgain, with other options instead of those of the environment, for good.
 * @throws SettingError. The ports keep their options then, and the environment as well.
 */
export function replaceOptions(ports: readonly OptionFollower[], options: PortOptionTexts): void {
  const environment = { ...WITHOUT_OPTIONS, ...optionEnvironment(options) }
  followOptions(ports, { ...process.env, ...environment })
  Object.assign(process.env, environment)
}

function followOptions(ports: readonly OptionFollower[], env: NodeJS.ProcessEnv): void {
  const { port: options } = readSettings(env)
  for (const { proxy, observer } of ports) {
    observer.accessLog = options.accessLog
    proxy.changeOptions(options)
  }
}
