/*
 * The descriptors that a parent hands to a proxy. Source: moby, cmd/docker-proxy and daemon/libnetwork/portmapper/proxy_linux.go.
 */

/** The write end of the status pipe, on which a proxy reports whether its port is published. */
export const STATUS_FD = 3
/** The listening socket of a docker-proxy that is started with -use-listen-fd. */
export const LISTEN_FD = 4
/** The first listening socket of a docker-publish-shared; the others follow it. A shell may use the descriptors below 10. */
export const SHARED_FIRST_LISTEN_FD = 10

/** The text on the status pipe once a proxy accepts connections. */
export const STATUS_READY = '0\n'
/** The text on the status pipe before the reason of a failure. */
export const STATUS_FAILED = '1\n'
