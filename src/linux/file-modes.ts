/* Permissions of files, see chmod(2). */

/** The owner may read and write, nobody else may do anything. */
export const OWNER_ONLY = 0o600
/** Every permission of the group and of others. */
export const ANY_ACCESS_FOR_OTHERS = 0o077
