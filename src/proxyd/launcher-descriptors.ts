/*
 * Descriptors of the launcher script, docker-proxy.sh, beside those that its parent hands over.
 */

/** A pipe on which docker-proxyd replies to the launcher. */
export const REPLY_FD = 7
/** The control pipe of docker-proxyd. */
export const CONTROL_FD = 9
