import { setFlagsFromString } from 'node:v8'

/**
 * Keeps V8's young generation at the size that it starts with: a burst of ports or connections lets it grow to sixteen times that, and it
 * does not shrink again. What forwards allocates little, so it costs no more than a collection now and then.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
