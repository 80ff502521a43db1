/** The longest path of a unix socket, bytes, see unix(7). libuv silently cuts a longer path off. */
export const MAX_SOCKET_PATH = 107
