/**
 * NODE_OPTIONS of all our programs. Until a program has a handler for SIGUSR1, the signal opens Node's debugger, and every local user can
 * run code with the program's rights. The debugger can't listen on this address, because no host has it (RFC 5737). Options for other
 * programs are dropped. The launcher, the headers of the build, and the Dockerfile contain the same text.
 */
export const NODE_OPTIONS = '--inspect-port=192.0.2.1:9229'
