import { NETLINK_NETFILTER, NFNLGRP_NFTABLES } from '../ffi/constants.js'
import { NetlinkWatch } from '../sockets/netlink-watch.js'

/** Reports changes of nftables' rules, which include those of iptables-nft. */
export class RuleWatch extends NetlinkWatch {
  /** @param changed called after one or more changes by any process; it must not throw */
  constructor(changed: () => void) {
    super(NETLINK_NETFILTER, NFNLGRP_NFTABLES, changed)
  }
}
