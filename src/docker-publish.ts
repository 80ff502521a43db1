import { hideBin } from 'yargs/helpers'
import { runCli } from './cli/cli.js'
import { exitWith } from './cli/exit.js'
import { ignoreSignals } from './linux/signals.js'

const NAME = 'docker-publish'

ignoreSignals()
runCli(NAME, hideBin(process.argv)).catch((err: unknown) => exitWith(err, NAME))
