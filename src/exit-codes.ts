/** Exit codes of all programs. */
export const EXIT_DONE = 0
export const EXIT_FAILED = 1
/** A command line or a setting is invalid. */
export const EXIT_USAGE = 2
/** docker-publish understood the request and refused it; `docker run` uses the same code. */
export const EXIT_REFUSED = 125
