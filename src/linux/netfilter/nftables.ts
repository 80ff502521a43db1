import { errnoCode } from '../errno.js'
import {
  NETLINK_NETFILTER,
  NFNL_MSG_BATCH,
  NFPROTO_INET,
  NFT_MSG,
  NFTA,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
} from '../ffi/constants.js'
import { encodeAttribute, NetlinkSocket, type NetlinkMessage } from '../sockets/netlink.js'

/*
 * Small changes of nftables, for which no process is started: each is in effect when the function returns. Tables are those of the family
 * inet, see nft(8).
 */

/** Adds a chain without a hook, and its table, unless they are there. @throws SystemError */
export function ensureChain(table: string, chain: string): void {
  change([
    request(NFT_MSG.NEW_TABLE, NLM_F_ACK | NLM_F_CREATE, [[NFTA.TABLE_NAME, table]]),
    request(NFT_MSG.NEW_CHAIN, NLM_F_ACK | NLM_F_CREATE, chainNames(table, chain)),
  ])
}

/** Whether a table has a chain. @throws SystemError */
export function hasChain(table: string, chain: string): boolean {
  const socket = new NetlinkSocket(NETLINK_NETFILTER)
  try {
    socket.sendAll([request(NFT_MSG.GET_CHAIN, 0, chainNames(table, chain))])
    socket.receive(() => undefined)
    return true
  } catch (err) {
    if (errnoCode(err) === 'ENOENT') return false
    throw err
  } finally {
    socket.close()
  }
}

/** Whether a chain has rules. A chain that is not there has none. @throws SystemError */
export function hasRules(table: string, chain: string): boolean {
  const socket = new NetlinkSocket(NETLINK_NETFILTER)
  try {
    socket.sendAll([request(NFT_MSG.GET_RULE, NLM_F_DUMP, ruleNames(table, chain))])
    let rules = 0
    while (!socket.receive(() => rules++));
    return rules > 0
  } finally {
    socket.close()
  }
}

/** What a transaction removes. */
export interface Removal {
  /** A chain to which no rule leads. */
  readonly chain?: string
  /** Chains that lose their rules, and stay. */
  readonly emptied: readonly string[]
}

/**
 * Removes parts of a table, all at once.
 * @throws SystemError `ENOENT` if one of them is not there, and then nothing has changed
 */
export function remove(table: string, { chain, emptied }: Removal): void {
  change([
    ...(chain === undefined
      ? []
      : [request(NFT_MSG.DEL_CHAIN, NLM_F_ACK, chainNames(table, chain))]),
    ...emptied.map((each) => request(NFT_MSG.DEL_RULE, NLM_F_ACK, ruleNames(table, each))),
  ])
}

function ruleNames(table: string, chain: string): [number, string][] {
  return [
    [NFTA.RULE_TABLE, table],
    [NFTA.RULE_CHAIN, chain],
  ]
}

function chainNames(table: string, chain: string): [number, string][] {
  return [
    [NFTA.CHAIN_TABLE, table],
    [NFTA.CHAIN_NAME, chain],
  ]
}

/** Makes the changes as one transaction: the kernel makes all of them or none. */
function change(messages: readonly NetlinkMessage[]): void {
  const socket = new NetlinkSocket(NETLINK_NETFILTER)
  try {
    const [begin, end] = [NFNL_MSG_BATCH.BEGIN, NFNL_MSG_BATCH.END]
    socket.sendAll([batchMessage(begin), ...messages, batchMessage(end)])
    // The kernel replies to each message, see nfnetlink_rcv_batch in net/netfilter/nfnetlink.c.
    messages.forEach(() => socket.receive(() => undefined))
  } finally {
    socket.close()
  }
}

function request(type: number, flags: number, names: readonly [number, string][]): NetlinkMessage {
  const attributes = names.map(([id, name]) => encodeAttribute(id, Buffer.from(`${name}\0`)))
  return {
    type: (NFT_MSG.PART << 8) | type,
    flags,
    body: Buffer.concat([genericHeader(NFPROTO_INET, 0), ...attributes]),
  }
}

function batchMessage(type: number): NetlinkMessage {
  return { type, flags: 0, body: genericHeader(0, NFT_MSG.PART) }
}

/** struct nfgenmsg: an address family, a version, and the number of a part in network byte order. */
function genericHeader(family: number, part: number): Buffer {
  return Buffer.from([family, 0, part >> 8, part & 0xff])
}
