/**
 * NODE_OPTIONS of all our programs. SIGUSR1 has Node open a debugger, through which every local user can run code with the rights of the
 * program, until the program has a handler of its own. It can't open one on an address that no host has (RFC 5737). Options that were set for
 * other programs are dropped. The launcher, the headers that the build writes, and the Dockerfile have the same text.
 */
export const NODE_OPTIONS = '--inspect-port=192.0.2.1:9229'
