import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { ignoreSignals } from './linux/signals.js'

/*
 * `npm start`: the drop-in itself if there are arguments, else the demo, which leaves a published port to try.
 */

ignoreSignals()
const args = process.argv.slice(2)
const [program, programArgs] =
  args.length > 0 ? ['docker-proxy', args] : ['docker-publish', ['demo']]
const child = spawn(fileURLToPath(new URL(program, import.meta.url)), programArgs, {
  stdio: 'inherit',
})
const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
process.on('SIGINT', forward)
process.on('SIGTERM', forward)

once(child, 'exit').then(
  ([code]) => process.exit((code as number | null) ?? 1),
  (err: unknown) => {
    console.error(`npm start: ${(err as Error).message}`)
    process.exit(1)
  },
)
