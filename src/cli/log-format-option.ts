import { LOG_FORMATS } from '../log/log.js'

/** --log-format of docker-publish and docker-proxyd. */
export const LOG_FORMAT_OPTION = {
  choices: LOG_FORMATS,
  requiresArg: true,
  describe: 'text for people, or json for programs; by default text on a terminal',
} as const
