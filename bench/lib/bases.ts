/** The peers that the others are compared with: the original, and no proxy at all. */
export const BASES = ['docker-proxy', 'direct'] as const
