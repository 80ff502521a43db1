import { hideBin } from 'yargs/helpers'
import { runCli } from './cli/cli.js'
import { exitWith } from './cli/exit.js'

const NAME = 'docker-publish'

runCli(NAME, hideBin(process.argv)).catch((err: unknown) => exitWith(err, NAME))
