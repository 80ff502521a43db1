/*
 * Numbers of the kernel's interface, by man page. x86-64 and arm64 agree on all of them. For a difference between them see
 * `sockets/poller.ts`.
 */

/** errno(3): the errors that the data path distinguishes. */
export const ERRNO = {
  EINTR: 4,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  ENODEV: 19,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EPIPE: 32,
  ENOTSOCK: 88,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ECONNREFUSED: 111,
  EINPROGRESS: 115,
} as const

/** The system has run out of descriptors or memory. This says nothing about the socket, see accept(2) and send(2). */
export const SHORTAGES: readonly number[] = [
  ERRNO.EMFILE,
  ERRNO.ENFILE,
  ERRNO.ENOBUFS,
  ERRNO.ENOMEM,
]
/** Errors of accept(2) on a socket that no longer listens. */
export const NOT_LISTENING: readonly number[] = [ERRNO.EINVAL, ERRNO.EBADF]
/** Errors of splice(2) itself. Every other error is the socket's. */
export const SPLICE_REFUSALS: readonly number[] = [
  ERRNO.EAGAIN,
  ERRNO.EINTR,
  ERRNO.EINVAL,
  ERRNO.ENOMEM,
]

/** socket(2). */
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_NETLINK = 16
export const SOCK = {
  STREAM: 1,
  DGRAM: 2,
  NONBLOCK: 0o4000,
  CLOEXEC: 0o2000000,
} as const

/** protocols(5). */
export const IPPROTO = { IP: 0, TCP: 6, UDP: 17, IPV6: 41, SCTP: 132 } as const

/** Levels and names of options: socket(7), ip(7), ipv6(7), tcp(7), sctp(7). */
export const OPTION = {
  SO_REUSEADDR: [1, 2],
  SO_TYPE: [1, 3],
  SO_ERROR: [1, 4],
  SO_RCVBUF: [1, 8],
  SO_KEEPALIVE: [1, 9],
  SO_LINGER: [1, 13],
  SO_ACCEPTCONN: [1, 30],
  SO_PROTOCOL: [1, 38],
  SO_DOMAIN: [1, 39],
  IP_PKTINFO: [IPPROTO.IP, 8],
  IPV6_V6ONLY: [IPPROTO.IPV6, 26],
  IPV6_RECVPKTINFO: [IPPROTO.IPV6, 49],
  TCP_NODELAY: [IPPROTO.TCP, 1],
  TCP_KEEPIDLE: [IPPROTO.TCP, 4],
  TCP_KEEPINTVL: [IPPROTO.TCP, 5],
  TCP_USER_TIMEOUT: [IPPROTO.TCP, 18],
  TCP_NOTSENT_LOWAT: [IPPROTO.TCP, 25],
  SCTP_NODELAY: [IPPROTO.SCTP, 3],
} as const
export type SocketOption = (typeof OPTION)[keyof typeof OPTION]

/** Control messages of recvmsg(2) and sendmsg(2), see ip(7) and ipv6(7). In IPv6 the message has another number than its option. */
export const IP_PKTINFO = 8
export const IPV6_PKTINFO = 50

/** send(2). */
export const MSG = { PEEK: 2, DONTWAIT: 0x40, NOSIGNAL: 0x4000, MORE: 0x8000 } as const

/** ioctl(2): bytes that a socket has not sent yet, see linux/sockios.h. */
export const SIOCOUTQNSD = 0x894b

/** shutdown(2). */
export const SHUT_RD = 0
export const SHUT_WR = 1

/** netlink(7). */
export const NLM_F_REQUEST = 1
export const NLM_F_ACK = 4
export const NLM_F_DUMP = 0x300
export const NLM_F_CREATE = 0x400
export const NLMSG = { ERROR: 2, DONE: 3 } as const

/** rtnetlink(7): interfaces and their addresses. Members of a group get their changes, see linux/rtnetlink.h. */
export const NETLINK_ROUTE = 0
export const RTM = { NEWADDR: 20, DELADDR: 21, GETADDR: 22 } as const
export const RTNLGRP = { LINK: 1, IPV4_IFADDR: 5, IPV6_IFADDR: 9 } as const
/** Attributes of an address, see linux/if_addr.h. IPv4 has the interface's own one in LOCAL, IPv6 in ADDRESS. */
export const IFA = { ADDRESS: 1, LOCAL: 2 } as const

/** sock_diag(7). */
export const NETLINK_SOCK_DIAG = 4
export const SOCK_DIAG_BY_FAMILY = 20
/** Attributes, and instructions of a filter, see linux/inet_diag.h. */
export const INET_DIAG = { REQ_BYTECODE: 1, INFO: 2, SKV6ONLY: 11, BC_S_GE: 2, BC_S_LE: 3 } as const

/** Netfilter's part of netlink, see linux/netfilter/nfnetlink.h. */
export const NETLINK_NETFILTER = 12
/** A message's type is one of these and the number of its part in the upper byte, see linux/netfilter/nfnetlink_conntrack.h. */
export const CONNTRACK = { PART: 1, GET: 1, DELETE: 2 } as const
/** Attributes of a tracked connection, see linux/netfilter/nfnetlink_conntrack.h. */
export const CTA = {
  ...{ TUPLE_ORIG: 1, TUPLE_REPLY: 2, FILTER: 25, TUPLE_IP: 1, TUPLE_PROTO: 2 },
  ...{ IP_V4_SRC: 1, IP_V4_DST: 2, IP_V6_SRC: 3, IP_V6_DST: 4 },
  ...{ PROTO_NUM: 1, PROTO_SRC_PORT: 2, PROTO_DST_PORT: 3 },
} as const
/** A filter of a dump, and its flag for the source address, see linux/netfilter/nfnetlink_conntrack.h, and the kernel's nf_internals.h. */
export const CTA_FILTER = { REPLY_FLAGS: 2, IP_SRC: 1 } as const
/** The group that tells of changes of nftables, see linux/netfilter/nfnetlink.h. */
export const NFNLGRP_NFTABLES = 7
/** Messages around the changes of a transaction, see linux/netfilter/nfnetlink.h. */
export const NFNL_MSG_BATCH = { BEGIN: 16, END: 17 } as const
/** A message's type is one of these and the number of its part in the upper byte, see linux/netfilter/nf_tables.h. */
export const NFT_MSG = {
  PART: 10,
  NEW_TABLE: 0,
  NEW_CHAIN: 3,
  GET_CHAIN: 4,
  DEL_CHAIN: 5,
  GET_RULE: 7,
  DEL_RULE: 8,
} as const
/** Attributes of tables, chains and rules, see linux/netfilter/nf_tables.h. */
export const NFTA = {
  TABLE_NAME: 1,
  CHAIN_TABLE: 1,
  CHAIN_NAME: 3,
  RULE_TABLE: 1,
  RULE_CHAIN: 2,
} as const
/** The family of tables for IPv4 and IPv6, see linux/netfilter.h. */
export const NFPROTO_INET = 1
/** An attribute contains attributes, see linux/netlink.h. */
export const NLA_F_NESTED = 0x8000

/** splice(2). */
export const SPLICE = { MOVE: 1, NONBLOCK: 2 } as const

/** fcntl(2). */
export const F = { GETFL: 3, SETFL: 4, DUPFD_CLOEXEC: 1030, SETPIPE_SZ: 1031 } as const
export const O_NONBLOCK = 0o4000
export const O_CLOEXEC = 0o2000000

/** epoll_ctl(2). */
export const EPOLL_CTL = { ADD: 1, DEL: 2, MOD: 3 } as const
export const EPOLL = {
  IN: 0x0001,
  PRI: 0x0002,
  OUT: 0x0004,
  ERR: 0x0008,
  HUP: 0x0010,
  RDHUP: 0x2000,
  /** Edge-triggered. It is the highest bit, so the 32-bit number is negative. */
  ET: 1 << 31,
} as const

/** eventfd(2). */
export const EFD = { NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const

/** flock(2). */
export const LOCK = { EX: 2, NB: 4 } as const

/** Numbers of system calls without a wrapper in older C libraries, see syscall(2). */
export const SYS = { pidfd_send_signal: 424, pidfd_open: 434, pidfd_getfd: 438 } as const

/** prctl(2). */
export const PR = {
  SET_PDEATHSIG: 1,
  GET_PDEATHSIG: 2,
  SET_KEEPCAPS: 8,
  SET_NO_NEW_PRIVS: 38,
} as const
/** Numbers of capabilities, see linux/capability.h. */
export const CAP = { NET_ADMIN: 12 } as const

/** setns(2). */
export const CLONE_NEWNET = 0x40000000

/** Size of `int`, bytes. */
export const SIZE_OF_INT = 4
/** Size of struct linger, two `int`, see socket(7). */
export const SIZE_OF_LINGER = 8
