import { hideBin } from 'yargs/helpers'
import { completeForDocker, runCli } from './cli/cli.js'
import { exitWith } from './cli/exit.js'
import { endWithDocker, exitOnInterrupt, pluginCall } from './cli/plugin.js'
import { ignoreSignals } from './linux/signals.js'

const NAME = 'docker-publish'
/** The program as a plugin of the docker command. */
const PLUGIN_NAME = 'docker publish'

/** Users and the docker command call this program. */
async function main(): Promise<void> {
  const words = hideBin(process.argv)
  const call = pluginCall(words, process.env)
  if (!call) return runCli(NAME, words).catch((err: unknown) => exitWith(err, NAME))
  Object.assign(process.env, call.env)
  if (call.isCompletion) return completeForDocker(call.args, PLUGIN_NAME)
  endWithDocker(process.env)
  exitOnInterrupt()
  await runCli(PLUGIN_NAME, call.args).catch((err: unknown) => exitWith(err, PLUGIN_NAME))
}

ignoreSignals()
void main()
